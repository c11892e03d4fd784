"""Which candidates become rows: rejection sampling by reward, without duplicates, diverse, and at most k for a task."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...verifiers.reward import ROUNDING
from ...verifiers.trajectory import StopReason
from .candidate import Asked, Candidate
from .similarity import similarity

Reasons = Counter[str]
"""Why candidates were left out → how many."""


@dataclass(frozen=True)
class Selection:
    """What is asked of candidates. The result does not depend on the order in which they come.

    Attributes:
        choose: which are taken if there are more than ``per_task``: ``best`` takes those with the highest total reward,
            ``diverse`` the best one and then, again and again, the one that is least similar to all that were taken,
            ``random`` any.
        per_task: most candidates of one task and agent; None for all.
        success: whether only successes (``Reward.success``) are taken.
        least: the least total reward; None for any.
        components: label → the least unweighted score of that component.
        finished: whether only episodes are taken that no limit ended (``StopReason.DONE``).
        pass_rate: the lowest and the highest share of successes among the scored attempts at a task.
        deduplicate: ``exact`` leaves out conversations that equal another one; ``near`` also those whose replies are
            similar to those of another attempt at the same task; ``none`` leaves out none.
        similarity: from which similarity on replies are near duplicates, from 0 to 1.
        agents: the agents whose conversations are taken; empty for all.
        seed: decides between candidates that are equally good.
    """

    choose: Literal["best", "diverse", "random"] = "best"
    per_task: int | None = None
    success: bool = False
    least: float | None = None
    components: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False
    pass_rate: tuple[float, float] | None = None
    deduplicate: Literal["exact", "near", "none"] = "exact"
    similarity: float = 0.8
    agents: tuple[str, ...] = ()
    seed: int = 0

    @property
    def compares_texts(self) -> bool:
        """Whether candidates need a sketch of their text."""
        return self.deduplicate == "near" or self.choose == "diverse"

    def shortfall(self, candidate: Candidate) -> str:
        """Why the reward of ``candidate`` is not good enough; empty if it is."""
        if self.success and not candidate.success:
            return "not a success" if candidate.success is not None else "success is not defined"
        if self.least is not None and candidate.total < self.least - ROUNDING:
            return "reward below --least"
        for label, least in self.components.items():
            score = candidate.scores.get(label)
            if score is None or score < least - ROUNDING:
                return f"component {label} below its minimum"
        return ""

    def lot(self, candidate: Candidate) -> bytes:
        """What decides between equals: a hash of the seed and of the candidate's content and place."""
        place = candidate.place
        return _hash(self.seed, *candidate.asked, candidate.digest, place.step, place.attempt, place.source)

    def task_lot(self, asked: Asked) -> bytes:
        """Draws the order of tasks."""
        return _hash(self.seed, asked.environment, asked.task)


def _hash(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(errors="surrogatepass"), digest_size=16).digest()


def select(candidates: Iterable[Candidate], selection: Selection) -> tuple[list[Candidate], Reasons]:
    """The chosen candidates, and how many were left out for which reason."""
    reasons: Reasons = Counter()
    chosen: list[Candidate] = []
    for attempts in eligible(candidates, selection, reasons, selection.shortfall):
        taken = _take(attempts, selection)
        reasons["more than --per-task"] += len(attempts) - len(taken)
        chosen += taken
    return chosen, +reasons


def eligible(
    candidates: Iterable[Candidate],
    selection: Selection,
    reasons: Reasons,
    shortfall: Callable[[Candidate], str] = lambda candidate: "",
) -> Iterator[list[Candidate]]:
    """Yield for each task and agent the candidates that nothing rules out, the best first.

    Args:
        candidates: in any order.
        selection: what is asked of them.
        reasons: is added to.
        shortfall: says why the reward of a candidate is not good enough.
    """
    by_task: dict[Asked, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if selection.agents and candidate.asked.agent not in selection.agents:
            reasons["another agent"] += 1
        elif candidate.problem:
            reasons[candidate.problem] += 1
        else:
            by_task[candidate.asked].append(candidate)
    seen: set[bytes] = set()
    for asked in sorted(by_task):
        attempts = by_task.pop(asked)
        if reason := _off_rate(attempts, selection):
            reasons[reason] += len(attempts)
            continue
        attempts.sort(key=lambda candidate: (-candidate.total, selection.lot(candidate)))
        left: list[Candidate] = []
        for candidate in attempts:
            if reason := _reason(candidate, left, selection, shortfall, seen):
                reasons[reason] += 1
            else:
                left.append(candidate)
        if left:
            yield left


def _reason(
    candidate: Candidate,
    better: Sequence[Candidate],
    selection: Selection,
    shortfall: Callable[[Candidate], str],
    seen: set[bytes],
) -> str:
    """Why ``candidate`` is left out; its digest joins those that were ``seen`` if its reward is good enough."""
    if selection.finished and candidate.stop is not StopReason.DONE:
        return "ended by a limit"
    if reason := shortfall(candidate):
        return reason
    if selection.deduplicate == "none":
        return ""
    if candidate.digest in seen:
        return "exact duplicate"
    seen.add(candidate.digest)
    if selection.deduplicate == "near" and any(
        _alike(candidate, other) >= selection.similarity - ROUNDING for other in better
    ):
        return "near duplicate"
    return ""


def _off_rate(attempts: Sequence[Candidate], selection: Selection) -> str:
    """Why the task is left out for its pass rate; empty if it is not."""
    if selection.pass_rate is None:
        return ""
    if any(candidate.success is None for candidate in attempts):
        return "success is not defined"
    low, high = selection.pass_rate
    rate = sum(bool(candidate.success) for candidate in attempts) / len(attempts)
    if rate < low - ROUNDING:
        return "task too hard"
    return "task too easy" if rate > high + ROUNDING else ""


def _take(attempts: Sequence[Candidate], selection: Selection) -> list[Candidate]:
    """At most ``per_task`` of ``attempts``, which are sorted, the best first."""
    most = len(attempts) if selection.per_task is None else selection.per_task
    if selection.choose == "best":
        return list(attempts[:most])
    if selection.choose == "random":
        return sorted(attempts, key=selection.lot)[:most]
    rest = list(attempts)
    taken = [rest.pop(0)]
    nearest = [_alike(candidate, taken[0]) for candidate in rest]
    while rest and len(taken) < most:
        place = min(range(len(rest)), key=nearest.__getitem__)  # of equals the first, which is the best
        taken.append(rest.pop(place))
        nearest.pop(place)
        nearest = [max(near, _alike(one, taken[-1])) for near, one in zip(nearest, rest, strict=True)]
    return taken


def _alike(one: Candidate, other: Candidate) -> float:
    if one.text is None or other.text is None:  # a candidate that was made without sketches
        raise ValueError("the candidates have no sketches; make them with sketched=True")
    return similarity(one.text, other.text)
