"""A group: the attempts at one task, which are compared with each other."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from .boundary import Fault
from .errors import DataError
from .reward import success_rate
from .task import Task
from .trajectory import StopReason, Trajectory


class Lost(NamedTuple):
    """An attempt that was left out of its group, because it could not be scored.

    Attributes:
        attempt: its number.
        stop: why its episode ended.
        reason: why it has no score, in one line.
    """

    attempt: int
    stop: StopReason
    reason: str


@dataclass(frozen=True, eq=False)
class Group:
    """n trajectories of one task; advantages are computed per (task, agent).

    Attributes:
        index: the admission index, which orders groups and seeds their sampling.
        task: the task of all attempts.
        trajectories: the attempts, in the order of their numbers.
        attempts: the number of each attempt, 0 or more and rising; by default 0, 1, …; needed if some attempts were
            left out.
        lost: the attempts that were left out.
        faults: exceptions of user code in any of the attempts, one for each place; they are not stored with the group.
    """

    index: int
    task: Task
    trajectories: tuple[Trajectory, ...]
    attempts: tuple[int, ...] = ()
    lost: tuple[Lost, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.trajectories:
            raise DataError(f"group {self.index} (task {self.task.id}) is empty")
        if not self.attempts:
            object.__setattr__(self, "attempts", tuple(range(len(self.trajectories))))
        if len(self.attempts) != len(self.trajectories):
            raise DataError(f"group {self.index} has {len(self.trajectories)} trajectories and numbers {self.attempts}")
        whole = all(type(number) is int and number >= 0 for number in self.attempts)
        if not whole or any(later <= earlier for earlier, later in pairwise(self.attempts)):
            raise DataError(
                f"the numbers of a group's attempts are whole, 0 or more and rising, found {self.attempts!r:.80} "
                f"(group {self.index}); give each attempt its own number"
            )
        for trajectory in self.trajectories:
            if trajectory.task.hash != self.task.hash:
                raise DataError(f"group {self.index} mixes tasks {self.task.id} and {trajectory.task.id}")
        self._check_advantages()

    @property
    def zero_variance(self) -> bool:
        """Whether every agent earned the same in all attempts and was given no advantages: nothing can be learned."""
        if any(segment.advantages is not None for attempt in self.trajectories for segment in attempt.segments):
            return False
        earned: dict[str, set[float]] = {}
        for attempt in self.trajectories:
            for agent, reward in attempt.rewards.items():
                earned.setdefault(agent, set()).add(reward.total)
        return all(len(totals) == 1 for totals in earned.values())

    @property
    def success_rate(self) -> float | None:
        """Share of successful attempts, over all agents that have a reward; None if success is undefined."""
        rewards = [reward for attempt in self.trajectories for reward in attempt.rewards.values() if reward.components]
        return success_rate(rewards)

    def _check_advantages(self) -> None:
        segments = [segment for attempt in self.trajectories for segment in attempt.segments if segment.trainable]
        given = {(segment.agent, segment.advantages is not None) for segment in segments}
        for agent in sorted({segment.agent for segment in segments}):
            if {(agent, True), (agent, False)} <= given:
                raise DataError(
                    f"group {self.index} (task {self.task.id}): only some segments of agent {agent!r} have advantages; "
                    "set them in all or none"
                )
