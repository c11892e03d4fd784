"""Prefix trees: every sample is a path, every common token stands once, and a token sees its own path alone."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lachesis.trainer.learner.packing.attention import dense_mask
from lachesis.trainer.learner.packing.prefix_tree import LEAST_SHARED, PrefixTree, common_prefix, prefix_trees
from lachesis.trainer.learner.sample import Sample


def sample(tokens: list[int], first: int = 1) -> Sample:
    ids = np.array(tokens, np.int32)
    return Sample(ids, np.arange(ids.size) >= first, None, np.ones(ids.size, np.float32))


few = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=9), min_size=1, max_size=12)


@given(few, st.integers(1, 40))
def test_each_sample_is_found_along_its_columns_and_sees_nothing_else(rows: list[list[int]], longest: int) -> None:
    samples = [sample(row) for row in rows]
    trees = list(prefix_trees(samples, longest))
    assert sorted(id(one) for tree in trees for one in tree.samples) == sorted(map(id, samples))
    for tree in trees:
        assert tree.size <= max(longest, max(one.tokens.size for one in tree.samples))
        sees_TT = dense_mask(torch.from_numpy(tree.ends_T)[None])[0, 0].numpy()
        for one, columns in zip(tree.samples, tree.columns, strict=True):
            assert tree.tokens_T[columns].tolist() == one.tokens.tolist()
            assert tree.positions_T[columns].tolist() == list(range(one.tokens.size))
            for place, column in enumerate(columns):
                assert np.flatnonzero(sees_TT[column]).tolist() == columns[: place + 1].tolist()


@given(few)
def test_a_tree_holds_every_distinct_prefix_once(rows: list[list[int]]) -> None:
    ordered = sorted((sample(row) for row in rows), key=lambda one: one.tokens.tolist())
    prefixes = {tuple(row[:length]) for row in rows for length in range(1, len(row) + 1)}
    assert PrefixTree.of(ordered).size == len(prefixes)


def test_turns_and_forks_share_what_they_have_in_common() -> None:
    prompt, first, second = list(range(10)), [50] * 20, [60] * 20
    turns = [prompt + first, prompt + first + second, prompt + first + [70] * 5]
    [tree] = prefix_trees([sample(turn, 10) for turn in turns], 512)
    assert tree.size == 10 + 20 + 20 + 5


def test_a_few_common_tokens_are_not_worth_a_shared_row_but_a_long_beginning_is() -> None:
    def apart(shared: int) -> int:
        prompts = [list(range(shared)) + [100 + number] * 30 for number in range(2)]
        return len(list(prefix_trees([sample([*prompt, 1], len(prompt)) for prompt in prompts], 4096)))

    assert apart(LEAST_SHARED - 1) == 2
    assert apart(LEAST_SHARED) == 1


def test_a_common_prefix_ends_where_the_shorter_ends() -> None:
    assert common_prefix(np.array([1, 2, 3], np.int32), np.array([1, 2], np.int32)) == 2
    assert common_prefix(np.array([1, 2, 3], np.int32), np.array([1, 5, 3], np.int32)) == 1
    assert common_prefix(np.array([], np.int32), np.array([1], np.int32)) == 0
