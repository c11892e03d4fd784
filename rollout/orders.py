"""Orders for groups, and their outcomes: a group, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..verifiers.boundary import Fault
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
    """A group that could not be made: unscored, never a reward of 0.

    Attributes:
        index: the admission index.
        reason: why, in one line.
        faults: exceptions of user code in its attempts, one for each place.
    """

    index: int
    reason: str
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Passed:
    """An order whose environment has no group to give now: another environment has its turn. It is no failure."""

    index: int


Outcome = Group | Failure


def facts_of(orders: Sequence[Order]) -> dict[str, Any]:
    """What the event log says of orders: the first and the last admission index, and a purpose other than training."""
    purpose = {"purpose": "evaluation"} if orders[0].seed[1:2] == (EVALUATION,) else {}
    return {"groups": [orders[0].index, orders[-1].index], **purpose}


TRAINING, EVALUATION = 0, 1
"""The purposes: the second number of an order's ``seed``."""
