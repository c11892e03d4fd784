"""What it costs that groups are trained on in their order, and the staleness at which it would cost little."""

import heapq
from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from ...rollout.dispatcher import Batch
from .parts import part_sizes

if TYPE_CHECKING:  # it imports the rule
    from .alerts import History

MOST = 0.1
"""Share of the time that the order may cost without an alert."""

LEAST_SECONDS = 1.0
"""Seconds a step that a stall has at least where an alert is given; steps of toy runs are hardly longer."""

HIGHEST = 16
"""The highest staleness that is tried."""

STEPS = 5
"""Steps whose durations are kept."""

PLAYED = 4 * HIGHEST + 16
"""Steps that are played through for each staleness."""


class Pace(NamedTuple):
    """How fast a run is, in seconds a step.

    Attributes:
        step: with groups in their order, and a bounded staleness.
        bound: without both: what generation or the update take alone, whichever is longer.
    """

    step: float
    bound: float

    @property
    def cost(self) -> float:
        """The share of the time that order and staleness cost."""
        return 1 - self.bound / self.step if self.step > 0 else 0.0


def simulate(
    durations: Sequence[float], update: float, prompts: int, staleness: int, width: int, parts: int = 1
) -> Pace:
    """Play a run's steps through with other settings.

    Args:
        durations: seconds of groups from their admission until they are made, in admission order; they are repeated.
        update: seconds of a step in which the trainer does not wait for groups.
        prompts: P, groups a step.
        staleness: S. At most (S+1)·P groups are admitted and not trained on.
        width: groups that are made at the same time; further ones wait for their turn, in order.
        parts: of a step's groups; the update goes on with each as soon as it is made.
    """
    taken = cycle(durations)
    free = [0.0] * width
    ends: list[float] = []  # of the updates
    for step in range(PLAYED):
        admitted = ends[step - staleness - 1] if step > staleness else 0.0
        made, end = 0.0, ends[-1] if ends else 0.0
        for size in part_sizes(prompts, parts):
            for duration in islice(taken, size):
                done = max(admitted, free[0]) + duration
                heapq.heapreplace(free, done)
                made = max(made, done)
            end = max(made, end) + update * size / prompts
        ends.append(end)
    begin = staleness + 1  # the first steps fill the pipeline
    return Pace((ends[-1] - ends[begin]) / (PLAYED - 1 - begin), max(update, fmean(durations) * prompts / width))


def sufficient_staleness(
    durations: Sequence[float], update: float, prompts: int, staleness: int, parts: int = 1
) -> int | None:
    """The least staleness at which the order costs at most ``MOST``; None if none up to ``HIGHEST`` is that.

    It is ``staleness`` itself if that costs no more. The run's engines are assumed to make as many groups at the same
    time as they did with ``staleness``, each in the same time.
    """
    width = (staleness + 1) * prompts
    for tried in range(staleness, HIGHEST + 1):
        if simulate(durations, update, prompts, tried, width, parts).cost <= MOST:
            return tried
    return None


class HeadOfLine:
    """Measures the stalls of a run's last steps.

    Args:
        prompts: P, groups a step.
        parts: into which they are split.
    """

    def __init__(self, prompts: int, parts: int = 1) -> None:
        self._prompts, self._parts = prompts, parts
        self._steps: deque[tuple[Sequence[float], float]] = deque(maxlen=STEPS)

    def metrics(self, batch: Batch, seconds: float, staleness: int) -> dict[str, float]:
        """Return what the order cost in a step and, if that was too much, the staleness that suffices.

        ``HIGHEST`` + 1 stands for none that does.

        Args:
            batch: the step's groups.
            seconds: what the whole step took.
            staleness: S.
        """
        self._steps.append((batch.durations, max(0.0, seconds - batch.seconds)))
        metrics = {"time/head_of_line": batch.stalled, "rate/head_of_line": batch.stalled / seconds if seconds else 0.0}
        if batch.stalled > max(LEAST_SECONDS, MOST * seconds):
            durations = [duration for made, _ in self._steps for duration in made]
            update = fmean(update for _, update in self._steps)
            found = sufficient_staleness(durations, update, self._prompts, staleness, self._parts)
            metrics["head_of_line/staleness"] = float(HIGHEST + 1 if found is None else found)
            metrics["head_of_line/now"] = float(staleness)
        return metrics


def head_of_line(history: "History") -> str:
    """Groups that are ready wait for an earlier one that is not."""
    rows = [row for row in history.last if row.get("head_of_line/staleness") is not None]
    if len(rows) < len(history.last):
        return ""
    share = fmean(row["rate/head_of_line"] for row in rows)
    now, enough = rows[-1]["head_of_line/now"], max(row["head_of_line/staleness"] for row in rows)
    if enough <= now:
        return ""
    cure = (
        f"rollout.staleness = {enough:.0f} would not (now {now:.0f})"
        if enough <= HIGHEST
        else f"no rollout.staleness up to {HIGHEST} would end this; bound the replies (rollout.sampling.max_tokens)"
    )
    return (
        f"groups that are ready wait for an earlier one {share:.0%} of the time (time/head_of_line). By the durations "
        f"of the last groups and updates, {cure}"
    )
