"""Preference pairs: two attempts at one task that differ in a reply, the better one against the worse one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, NamedTuple

from ...verifiers.reward import ROUNDING
from .candidate import Candidate, Place
from .selection import Reasons, Selection, eligible


@dataclass(frozen=True)
class Pairing:
    """Which candidates of a task are paired.

    Attributes:
        kind: ``best-worst`` uses each attempt in one pair at most, the best against the worst first; ``all`` makes
            every pair.
        margin: the least difference of the two total rewards; pairs of equal rewards are never made.
        length_ratio: the longer of the two replies has at most so many times the characters of the shorter one; None
            for any lengths.
    """

    kind: Literal["best-worst", "all"] = "best-worst"
    margin: float = 0.0
    length_ratio: float | None = None


class Pair(NamedTuple):
    """Two conversations that are equal up to the message number ``fork``, which is a reply in both."""

    chosen: Candidate
    rejected: Candidate
    fork: int

    @property
    def difference(self) -> float:
        """The difference of the two total rewards."""
        return self.chosen.total - self.rejected.total


def pair_up(candidates: Iterable[Candidate], selection: Selection, pairing: Pairing) -> tuple[list[Pair], Reasons]:
    """The pairs, and how many candidates were left out for which reason.

    What ``selection`` asks of rewards is asked of the chosen side only. ``per_task`` bounds the pairs of a task, those
    of the largest difference first; if it is None, ``best-worst`` makes one and ``all`` makes all.
    """
    reasons: Reasons = Counter()
    pairs: list[Pair] = []
    most = 1 if pairing.kind == "best-worst" and selection.per_task is None else selection.per_task
    for attempts in eligible(candidates, selection, reasons):
        possible = sorted(
            _possible(attempts, selection, pairing),
            key=lambda pair: (-pair.difference, selection.lot(pair.chosen), selection.lot(pair.rejected)),
        )
        if pairing.kind == "best-worst":
            possible = list(_once_each(possible))
        taken = possible[:most]
        used = {side.place for pair in taken for side in (pair.chosen, pair.rejected)}
        able = {side.place for pair in possible for side in (pair.chosen, pair.rejected)}
        reasons["more than --per-task"] += len(able - used)
        reasons["no other attempt to pair it with"] += len(attempts) - len(able)
        pairs += taken
    return pairs, +reasons


def fork_of(one: Candidate, other: Candidate) -> int | None:
    """The number of the first message that differs; None unless both have a reply of the policy there."""
    both = zip(one.turns, other.turns, strict=False)
    fork = len(list(takewhile(lambda turns: turns[0].digest == turns[1].digest, both)))
    if fork >= min(len(one.turns), len(other.turns)):
        return None
    return fork if fork and one.turns[fork].reply and other.turns[fork].reply else None


def _possible(attempts: Sequence[Candidate], selection: Selection, pairing: Pairing) -> Iterator[Pair]:
    for chosen in attempts:
        if selection.shortfall(chosen):
            continue
        for rejected in attempts:
            difference = chosen.total - rejected.total
            if difference < max(pairing.margin - ROUNDING, ROUNDING):
                continue
            fork = fork_of(chosen, rejected)
            if fork is not None and _matched(chosen, rejected, fork, pairing):
                yield Pair(chosen, rejected, fork)


def _matched(chosen: Candidate, rejected: Candidate, fork: int, pairing: Pairing) -> bool:
    if pairing.length_ratio is None:
        return True
    lengths = sorted(side.turns[fork].length for side in (chosen, rejected))
    return lengths[1] <= pairing.length_ratio * lengths[0]


def _once_each(pairs: Iterable[Pair]) -> Iterator[Pair]:
    used: set[Place] = set()
    for pair in pairs:
        places = {pair.chosen.place, pair.rejected.place}
        if not places & used:
            used |= places
            yield pair
