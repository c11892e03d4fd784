"""The progress of an evaluation: tasks done, the means so far, tasks per second and the time left."""

import time
from collections.abc import Iterable

from rich.console import Console

from ...trainer.run.progress import Phases
from .score_file import Score

_SECONDS = 10.0
"""After so many seconds a plain line is due, even if less than a tenth of the tasks was done in them."""


class EvaluationProgress(Phases):
    """Shows a bar on a terminal; otherwise prints a line for each tenth of the tasks, and at least every 10 s or so.

    The means are those over all trajectories with a score: of the first agent's total reward, and of the successes
    (``Reward.success``) if they are defined.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._tasks = self._tasks_before = self._scored = self._successes = 0
        self._reward, self._defined, self._printed = 0.0, True, 0.0

    def expect(self, tasks: int, done: int, scores: Iterable[Score]) -> None:
        """Set the number of tasks, how many are ``done`` already, and the scores of these."""
        self._tasks, self._tasks_before = tasks, done
        self._add(scores)

    def begin(self) -> None:
        """Begin the evaluation of the other tasks."""
        self._printed = time.monotonic()
        self.phase("evaluating", self._tasks, self._tasks_before)

    def count(self, scores: Iterable[Score]) -> None:
        """Add a task with the scores of its attempts; there are none if it could not be scored."""
        self._add(scores)
        done, now = self._done + 1, time.monotonic()
        if line := done * 10 // self._tasks > self._done * 10 // self._tasks or now - self._printed >= _SECONDS:
            self._printed = now
        rate = (done - self._first) / max(now - self._phase_start, 1e-9)
        self.advance(done, [*self._means(), f"tasks/s {rate:.3g}"], line)

    def _add(self, scores: Iterable[Score]) -> None:
        for score in (score for score in scores if score.scored):
            self._scored += 1
            self._reward += next(value for label, value in score.rewards.items() if label.split("/")[-1] == "total")
            self._successes += bool(score.success)
            self._defined = self._defined and score.success is not None

    def _means(self) -> list[str]:
        if not self._scored:
            return []
        accuracy = [f"accuracy {self._successes / self._scored:.3f}"] if self._defined else []
        return [f"mean reward {self._reward / self._scored:.3f}", *accuracy]
