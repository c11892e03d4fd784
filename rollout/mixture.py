"""The endless, seeded sequence of tasks that a run trains on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..environments.environment import Environment, Split, endless
from ..verifiers.task import Task


class Draw(NamedTuple):
    """The next task, and how often it is attempted."""

    environment: int
    task: Task
    size: int


class Mixture:
    """Several environments by weight; the n-th draw depends on the seed alone, so that a position is one number.

    Args:
        environments: in the run's order.
        weights: shares of the draws.
        sizes: attempts at each task.
        split: which tasks.
        seed: of the run.
    """

    def __init__(
        self,
        environments: Sequence[Environment],
        weights: Sequence[float],
        sizes: Sequence[int],
        split: Split,
        seed: int,
    ) -> None:
        self._shares = [weight / sum(weights) for weight in weights]
        self._sizes = sizes
        self._tasks = [endless(environment, split, seed) for environment in environments]

    def __iter__(self) -> Iterator[Draw]:
        """Always the environment that is furthest behind its share, so that the shares hold at every length."""
        credit = [0.0] * len(self._shares)
        while True:
            credit = [have + share for have, share in zip(credit, self._shares, strict=True)]
            chosen = max(range(len(credit)), key=credit.__getitem__)
            credit[chosen] -= 1.0
            yield Draw(chosen, next(self._tasks[chosen]), self._sizes[chosen])
