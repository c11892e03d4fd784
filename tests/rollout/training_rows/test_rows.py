"""Rows: tokens and labels are those of the segment, and a completion or a preference is one reply and no result."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as some

from lachesis.rollout.training_rows.candidate import Candidate
from lachesis.rollout.training_rows.conversation import Style
from lachesis.rollout.training_rows.pairs import Pairing, pair_up
from lachesis.rollout.training_rows.rows import completion_rows, preference_row, token_row, token_rows
from lachesis.rollout.training_rows.selection import Selection
from lachesis.verifiers.message import Message
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.trajectory import Trajectory

from .conftest import segment_of

Make = Callable[..., list[Candidate]]
Made = Callable[..., Trajectory]


@given(some.lists(some.tuples(some.integers(0, 1 << 17), some.booleans(), some.booleans()), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_ids_and_labels_are_the_tokens_and_the_mask(drawn: list[tuple[int, bool, bool]]) -> None:
    places = [place for place, (_, sampled, _) in enumerate(drawn) if sampled]
    trained = [place for place in places if drawn[place][2]]
    one = segment_of([token for token, _, _ in drawn], places, trained)
    row = token_row(one)
    assert row["input_ids"] == one.tokens.tolist()
    assert [label != -100 for label in row["labels"]] == one.mask.tolist()
    assert [label for label in row["labels"] if label != -100] == one.tokens[one.mask].tolist()


def test_each_trained_segment_of_the_agent_is_a_row(made: Made, segment: Callable[..., Segment]) -> None:
    main, branch = segment([1, 2, 3], [1, 2], [1, 2]), segment([1, 2, 9, 8], [3], [3])
    others = [segment([5, 6], [1], []), segment([5, 6], [1], [1], agent="guide")]
    others.append(replace(main, trainable=False))
    rows = list(token_rows(made("q", "r", 1.0, segments=[main, branch, *others]), "policy"))
    assert [row["labels"] for row in rows] == [[-100, 2, 3], [-100, -100, -100, 8]]


TALK: list[Message] = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "look"},
    {"role": "tool", "name": "t", "content": "4"},
    {"role": "assistant", "content": "four"},
]


def test_a_completion_is_one_reply_after_everything_before_it() -> None:
    rows = list(completion_rows(TALK, Style(), [{"type": "function"}]))
    assert [[message["role"] for message in row["prompt"]] for row in rows] == [["user"], ["user", "assistant", "tool"]]
    assert [row["completion"] for row in rows] == [[TALK[1]], [TALK[3]]]
    assert all(row["tools"] == [{"type": "function"}] for row in rows)


def test_a_preference_compares_the_replies_that_differ_and_holds_no_result(candidates: Make, made: Made) -> None:
    worse: list[Message] = [TALK[1], TALK[2], {"role": "assistant", "content": "again"}, TALK[2], TALK[3]]
    pairs, _ = pair_up(candidates(made("q", TALK[1:], 1.0), made("q", worse, 0.0)), Selection(), Pairing())
    row = preference_row(pairs[0], TALK, [TALK[0], *worse], Style(), ())
    assert row is not None
    assert [message["content"] for message in row["prompt"]] == ["q", "look", "4"]
    assert (row["chosen"], row["rejected"]) == ([TALK[3]], [{"role": "assistant", "content": "again"}])
    assert "train" not in str(row)


def test_replies_that_differ_in_stripped_reasoning_only_make_no_row(candidates: Make, made: Made) -> None:
    texts = ["<think>\none\n</think>\n\n4", "<think>\nother\n</think>\n\n4"]
    both = [made("q", texts[0], 1.0), made("q", texts[1], 0.0)]
    (pair,), _ = pair_up(candidates(*both), Selection(), Pairing())
    told = [one.messages["policy"] for one in both]
    assert preference_row(pair, told[0], told[1], Style(reasoning="strip"), ()) is None
    assert preference_row(pair, told[0], told[1], Style(), ()) is not None
