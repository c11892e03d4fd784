"""One environment's tasks in the order in which a run takes them: their own, or the one that its curriculum chooses."""

import logging
from collections import deque
from typing import Any, NamedTuple

from ...environments.environment import Environment, Split
from ...verifiers.task import Task
from .curriculum import Curriculum, CurriculumConfig
from .stream import TaskStream

log = logging.getLogger("lachesis")

WAITING = 256
"""Most tasks of one band that are kept for later; further ones are skipped."""

SEARCH = 2000
"""Most tasks that are drawn in search of one of the wanted band, before another band takes its turn."""


class Supplied(NamedTuple):
    """A task, its number in the stream, and its band (-1 without a curriculum)."""

    task: Task
    number: int
    band: int


class Supply:
    """Draws tasks, and keeps for later those whose band has no turn yet.

    Attributes:
        curriculum: chooses the band; None takes tasks in their own order.
    """

    def __init__(self, environment: Environment, split: Split, seed: int, curriculum: CurriculumConfig | None) -> None:
        self._stream = TaskStream(environment, split, seed)
        self.curriculum = Curriculum(curriculum, environment.label) if curriculum else None
        self._waiting: list[deque[Supplied]] = [deque() for _ in self.curriculum.names] if self.curriculum else []
        self._warned = False

    def take(self) -> Supplied:
        """The next task."""
        if self.curriculum is None:
            number, task = self._stream.take()
            return Supplied(task, number, -1)
        return self._of_band(self.curriculum, self.curriculum.choose())

    def _of_band(self, curriculum: Curriculum, band: int) -> Supplied:
        if self._waiting[band]:
            return self._waiting[band].popleft()
        for _ in range(SEARCH):
            number, task = self._stream.take()
            found = Supplied(task, number, curriculum.band_of(task))
            if found.band == band:
                return found
            if len(self._waiting[found.band]) < WAITING:
                self._waiting[found.band].append(found)
        if not self._warned:
            self._warned = True
            log.warning(
                "%s: none of %d tasks is of difficulty %s; another band has its turn",
                curriculum.label,
                SEARCH,
                curriculum.names[band],
            )
        return max(self._waiting, key=len).popleft()

    @property
    def state(self) -> dict[str, Any]:
        """The supply's position, as JSON: the numbers of tasks, not the tasks."""
        waiting = [[supplied.number for supplied in queue] for queue in self._waiting]
        return {
            "position": self._stream.position,
            "waiting": waiting,
            "curriculum": self.curriculum.state if self.curriculum else None,
        }

    def restore(self, state: dict[str, Any], pending: dict[int, int]) -> dict[int, Supplied]:
        """Go on from ``state``, before anything is taken; return the ``pending`` tasks (number → band) again."""
        waiting = {number for queue in state["waiting"] for number in queue}
        found = self._stream.forward(state["position"], waiting | pending.keys())
        if self.curriculum and state["curriculum"]:
            self.curriculum.restore(state["curriculum"])
            for number in sorted(waiting):
                supplied = Supplied(found[number], number, self.curriculum.band_of(found[number]))
                self._waiting[supplied.band].append(supplied)
        return {number: Supplied(found[number], number, band) for number, band in pending.items()}
