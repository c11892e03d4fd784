"""Preference pairs: better against worse after the same beginning, within margin and lengths, each bounded."""

import random
from collections.abc import Callable, Sequence

import pytest

from lachesis.rollout.training_rows.candidate import Candidate
from lachesis.rollout.training_rows.pairs import Pair, Pairing, fork_of, pair_up
from lachesis.rollout.training_rows.selection import Selection
from lachesis.verifiers.message import Message
from lachesis.verifiers.trajectory import Trajectory

Make = Callable[..., list[Candidate]]
Made = Callable[..., Trajectory]
GIVEN = [1.0, 0.75, 0.25, 0.0]


def numbers(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    return [(pair.chosen.place.attempt, pair.rejected.place.attempt) for pair in pairs]


@pytest.mark.parametrize(
    ("selection", "pairing", "wanted"),
    [
        (Selection(), Pairing(), [(0, 3)]),
        (Selection(per_task=2), Pairing(), [(0, 3), (1, 2)]),
        (Selection(), Pairing("all"), [(0, 3), (0, 2), (1, 3), (1, 2), (0, 1), (2, 3)]),
        (Selection(per_task=3), Pairing("all"), [(0, 3), (0, 2), (1, 3)]),
        (Selection(), Pairing("all", margin=0.5), [(0, 3), (0, 2), (1, 3), (1, 2)]),
        (Selection(success=True), Pairing("all"), [(0, 3), (0, 2), (0, 1)]),
        (Selection(least=0.7), Pairing("all", margin=0.6), [(0, 3), (0, 2), (1, 3)]),
        (Selection(), Pairing("all", length_ratio=2.0), [(0, 1), (2, 3)]),
    ],
)
def test_the_pairs_of_a_task(
    candidates: Make, made: Made, selection: Selection, pairing: Pairing, wanted: list[tuple[int, int]]
) -> None:
    replies = ["a" * 10, "b" * 20, "c" * 50, "d" * 60]
    given = candidates(*(made("q", reply, score) for reply, score in zip(replies, GIVEN, strict=True)))
    found = numbers(pair_up(given, selection, pairing)[0])
    assert sorted(found) == sorted(wanted)
    assert found[0] == wanted[0] or pairing.length_ratio


def test_equal_rewards_and_lonely_attempts_make_no_pair(candidates: Make, made: Made) -> None:
    equal = candidates(made("q", "a", 1.0), made("q", "b", 1.0), made("other", "c", 0.0))
    pairs, reasons = pair_up(equal, Selection(), Pairing("all"))
    assert pairs == []
    assert reasons == {"no other attempt to pair it with": 3}


def call(text: str) -> Message:
    return {"role": "assistant", "content": text}


def result(text: str) -> Message:
    return {"role": "tool", "name": "t", "content": text}


def test_conversations_fork_where_a_reply_differs_and_nowhere_else(candidates: Make, made: Made) -> None:
    one, late, luck, short, other = candidates(
        made("q", [call("look"), result("4"), call("four")], 1.0),
        made("q", [call("look"), result("4"), call("five")], 0.0),
        made("q", [call("look"), result("5"), call("five")], 0.0),
        made("q", [call("look")], 0.0),
        made("another", [call("look"), result("4"), call("five")], 0.0),
    )
    assert fork_of(one, late) == 3
    assert fork_of(one, luck) is None  # the environment answered the same call differently
    assert fork_of(one, short) is None
    assert fork_of(one, one) is None
    assert fork_of(one, other) is None


def test_pairs_do_not_depend_on_the_order(candidates: Make, made: Made) -> None:
    given = candidates(*(made(f"t{task}", f"r{n}", float(n % 2)) for task in range(4) for n in range(6)))
    first = pair_up(given, Selection(per_task=2), Pairing())
    random.Random(3).shuffle(given)
    assert pair_up(given, Selection(per_task=2), Pairing()) == first
    assert len(first[0]) == 8
