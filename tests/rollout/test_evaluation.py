"""Evaluation of many tasks: each is attempted once, and at most so many episodes are under way."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.evaluation import evaluate
from lachesis.rollout.orders import Order, Outcome
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


class CountingPool:
    """Makes groups after random delays; counts the episodes that are under way."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self._rng = random.Random(0)

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        episodes = sum(order.size for order in orders)
        self.running += episodes
        self.most = max(self.most, self.running)
        await asyncio.sleep(self._rng.random() / 100)
        self.running -= episodes
        return [Group(order.index, order.task, (Trajectory(order.task),) * order.size) for order in orders]


@pytest.mark.parametrize(("attempts", "concurrency"), [(1, 1), (1, 7), (3, 64), (1, 512), (8, 4)])
def test_every_task_ends_once_and_no_more_episodes_than_asked_for_are_under_way(
    attempts: int, concurrency: int
) -> None:
    pool = CountingPool()
    tasks = [(number, Task(f"question {number}")) for number in range(100)]

    async def session() -> list[Outcome]:
        found = evaluate(
            pool,  # type: ignore[arg-type]
            0,
            tasks,
            sampling=Sampling(),
            attempts=attempts,
            concurrency=concurrency,
        )
        return [outcome async for outcome in found]

    outcomes = asyncio.run(session())
    assert sorted(outcome.index for outcome in outcomes) == list(range(100))
    assert pool.most <= max(concurrency, attempts)
    assert pool.most > min(100 * attempts, concurrency) / 2
