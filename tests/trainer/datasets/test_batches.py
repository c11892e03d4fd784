"""Batches: every row once an epoch, in an order that the seed decides, and the same after a resumption."""

import itertools

import pytest

from lachesis.trainer.datasets.batches import Batches


@pytest.mark.parametrize("tokens", [0, 40])
def test_an_epoch_has_every_row_once(tokens: int) -> None:
    batches = Batches([5, 50, 20, 20, 1] * 5, 4, tokens, seed=3)
    for number in range(3):
        assert sorted(row for batch in batches.epoch(number) for row in batch) == list(range(25))
    assert batches.steps(3) == sum(len(batches.epoch(number)) for number in range(3))
    assert batches.epoch(0) != batches.epoch(1)
    assert batches.epoch(1) == Batches([5, 50, 20, 20, 1] * 5, 4, tokens, seed=3).epoch(1)
    assert batches.epoch(1) != Batches([5, 50, 20, 20, 1] * 5, 4, tokens, seed=4).epoch(1)


def test_a_batch_has_at_most_so_many_tokens_unless_one_row_has_more() -> None:
    lengths = [5, 50, 20, 20, 1] * 5
    for batch in Batches(lengths, 4, 40).epoch(0):
        assert sum(lengths[row] for row in batch) <= 40 or len(batch) == 1


def test_without_shuffling_the_rows_keep_their_order() -> None:
    assert Batches([1] * 5, 2, shuffle=False).epoch(7) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("step", [0, 1, 6, 7, 8, 20])
def test_a_resumed_run_goes_on_with_the_next_batch(step: int) -> None:
    whole = list(itertools.islice(Batches([1] * 13, 2).after(0), 30))
    assert list(itertools.islice(Batches([1] * 13, 2).after(step), 30 - step)) == whole[step:]
    assert [epoch for epoch, _ in whole[:7]] == pytest.approx([2 / 13, 4 / 13, 6 / 13, 8 / 13, 10 / 13, 12 / 13, 1])
