"""The attempts at one task that are compared with each other."""

from dataclasses import dataclass

from .errors import DataError
from .task import Task
from .trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Group:
    """n trajectories of one task; advantages are computed per (task, agent).

    Attributes:
        index: the admission index, which orders groups and seeds their sampling.
        task: what was asked.
        trajectories: the attempts, by sample number.
        samples: those numbers, where some attempts were left out; empty where none was.
    """

    index: int
    task: Task
    trajectories: tuple[Trajectory, ...]
    samples: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.trajectories:
            raise DataError(f"group {self.index} (task {self.task.id}) is empty")
        if self.samples and len(self.samples) != len(self.trajectories):
            raise DataError(f"group {self.index} has {len(self.trajectories)} trajectories and numbers {self.samples}")
        for trajectory in self.trajectories:
            if trajectory.task.hash != self.task.hash:
                raise DataError(f"group {self.index} mixes tasks {self.task.id} and {trajectory.task.id}")
        self._check_given("advantages")
        self._check_given("rewards")

    @property
    def zero_variance(self) -> bool:
        """Whether every agent earned the same in all attempts, so that how they differ teaches nothing."""
        earned: dict[str, set[float]] = {}
        for attempt in self.trajectories:
            for agent, reward in attempt.rewards.items():
                earned.setdefault(agent, set()).add(reward.total)
        return all(len(totals) == 1 for totals in earned.values())

    @property
    def pass_rate(self) -> float:
        """Share of the attempts' rewards that passed, over all agents; 0 where there is none."""
        rewards = [reward for attempt in self.trajectories for reward in attempt.rewards.values()]
        passed = [reward.passed for reward in rewards if reward.components]  # who is judged by nothing fails nothing
        return sum(passed) / len(passed) if passed else 0.0

    def _check_given(self, name: str) -> None:
        segments = [segment for attempt in self.trajectories for segment in attempt.segments if segment.trainable]
        if len({getattr(segment, name) is not None for segment in segments}) > 1:
            raise DataError(
                f"group {self.index} (task {self.task.id}): only some segments bring {name}; give all or none"
            )
