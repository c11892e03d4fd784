"""Orders for groups, and their outcomes: a group, or the reason why there is none."""

from dataclasses import dataclass

from ..verifiers.group import Group
from ..verifiers.task import Task
from .engines.engine import Sampling


@dataclass(frozen=True)
class Order:
    """One group to make.

    Attributes:
        index: the admission index; together with ``seed`` and the attempt's number it seeds the sampling.
        environment: position in the run's list of environments.
        task: the task.
        size: number of attempts.
        seed: the run's seed and the purpose (training or evaluation), so that both draw different random numbers.
        sampling: how replies are drawn.
        version: the lowest weights version that may serve it.
    """

    index: int
    environment: int
    task: Task
    size: int
    seed: tuple[int, ...]
    sampling: Sampling
    version: int = 0


@dataclass(frozen=True)
class Failure:
    """A group that could not be made: unscored, never a reward of 0."""

    index: int
    reason: str


@dataclass(frozen=True)
class Passed:
    """An order whose environment has no group to give now: another environment has its turn. It is no failure."""

    index: int


Outcome = Group | Failure

TRAINING, EVALUATION = 0, 1
"""The purposes: the second number of an order's ``seed``."""
