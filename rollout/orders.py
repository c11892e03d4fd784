"""What the dispatcher asks a worker to do, and what comes back: one group, or the reason why there is none."""

from dataclasses import dataclass

from ..verifiers.group import Group
from ..verifiers.task import Task
from .engines.engine import Sampling


@dataclass(frozen=True)
class Order:
    """One group to make.

    Attributes:
        index: the admission index; with ``seed`` and the attempt number it seeds the sampling.
        environment: position in the run's list of environments.
        task: what is asked.
        size: attempts.
        seed: the run's seed and the purpose (training, evaluation), so that neither draws the other's numbers.
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


Outcome = Group | Failure

TRAINING, EVALUATION = 0, 1
"""Purposes, the second number of an order's ``seed``."""
