import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from lachesis.environments.loading import describe
from lachesis.rollout.dispatcher import Batch, Dispatcher
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.orders import TRAINING, Failure, Order, Outcome, Passed
from lachesis.rollout.service.training.scored_data import Limits
from lachesis.rollout.service.training.source import STAMP, ServiceSource, SourcedPool, stamp
from lachesis.rollout.tasks.mixture import Mixture, Portion
from lachesis.verifiers.errors import InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


class Entry(NamedTuple):
    number: int
    body: bytes


class MemoryQueue:
    """A queue in memory; numbers begin with 1."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._arrived = asyncio.Event()

    def put(self, **fields: Any) -> int:
        data = {"tokens": [[1, 2]] * 2, "masks": [[-100, 2]] * 2, "scores": [0.0, 1.0], **fields}
        self.entries.append(Entry(len(self.entries) + 1, json.dumps(data).encode()))
        self._arrived.set()
        return len(self.entries)

    async def next(self, after: int, timeout: float | None) -> Entry | None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                while after >= len(self.entries):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self.entries[after]


class QuickPool:
    """Makes every group at once, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        if self.fails:
            raise InfrastructureError("all workers are gone")
        return [Group(order.index, order.task, (Trajectory(order.task, environment="played"),)) for order in orders]


def order(index: int, environment: int = 0, version: int = 0) -> Order:
    return Order(index, environment, Task("?"), 2, (0, TRAINING), Sampling(), version)


def source(queue: MemoryQueue, **options: Any) -> ServiceSource:
    return ServiceSource(queue, "remote", Limits(64, 100), **{"patience": 0.05, **options})


def numbers(outcomes: Sequence[Any]) -> list[int]:
    return [outcome.task.info["number"] for outcome in outcomes]


def test_orders_get_groups_first_in_first_out_whenever_those_arrive() -> None:
    async def answers() -> list[Group | Passed]:
        queue = MemoryQueue()
        remote = source(queue, patience=10)
        waiting = [asyncio.create_task(remote.next(order(index))) for index in range(4)]
        for _ in range(4):
            await asyncio.sleep(0.001)
            queue.put()
        return await asyncio.gather(*waiting)

    found = asyncio.run(answers())
    assert numbers(found) == [1, 2, 3, 4]
    assert [outcome.index for outcome in found] == [0, 1, 2, 3]


def test_a_group_counts_as_consumed_only_when_its_order_does() -> None:
    async def scenario() -> list[int]:
        queue = MemoryQueue()
        remote = source(queue, consumed=1)
        for _ in range(3):
            queue.put()
        first, second = await remote.next(order(0)), await remote.next(order(1))
        seen = [remote.consumed]
        for outcome in (first, Failure(7, "of another environment"), second):
            assert not isinstance(outcome, Passed)
            remote.learn(outcome)
            seen.append(remote.consumed)
        return seen

    assert asyncio.run(scenario()) == [1, 2, 2, 3]


def test_a_bad_group_is_passed_over_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> tuple[Group | Passed, ServiceSource]:
        queue = MemoryQueue()
        remote = source(queue)
        queue.put(scores=[0.0])
        queue.put(tokens=[[1, 2], [1, 100]])
        queue.entries.append(Entry(3, b"[["))
        queue.put()
        found = await remote.next(order(0))
        assert isinstance(found, Group)
        remote.learn(found)
        return found, remote

    with caplog.at_level(logging.WARNING, "lachesis"):
        found, remote = asyncio.run(scenario())
    assert numbers([found]) == [4]
    assert remote.consumed == 4
    assert remote.metrics()["service/remote/refused"] == 3
    assert "tokens[1][1]: a token id is 0 to 99, found 100" in caplog.text


def test_a_group_older_than_max_staleness_is_left_out() -> None:
    async def scenario() -> tuple[Group | Passed, dict[str, float]]:
        queue = MemoryQueue()
        remote = source(queue, max_staleness=2)
        queue.put(generation_params={STAMP: stamp(7)})
        queue.put(generation_params={STAMP: stamp(9, [[-1, 7], None])}, inference_logprobs=[[1.0, -1.0], [1.0, -1.0]])
        queue.put(generation_params={STAMP: stamp(8)})
        return await remote.next(order(0, version=10)), remote.metrics()

    found, metrics = asyncio.run(scenario())
    assert numbers([found]) == [3]
    assert metrics["service/remote/stale"] == 2


def test_a_silent_service_passes_until_it_speaks_again_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[Group | Passed]:
        queue = MemoryQueue()
        remote = source(queue, others=True, played=True)
        first = await asyncio.gather(*(remote.next(order(index)) for index in range(50)))
        queue.put()
        return [*first, await remote.next(order(50)), await remote.next(order(51))]

    with caplog.at_level(logging.INFO, "lachesis"):
        *first, spoken, after = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert all(isinstance(outcome, Passed) for outcome in first)
    assert numbers([spoken]) == [1]
    assert isinstance(after, Passed)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    assert "remote: no group came for 0.05 s (patience); the other environments have their turn" in caplog.text


def test_the_only_environment_is_waited_for_without_end() -> None:
    async def scenario() -> Group | Passed:
        queue = MemoryQueue()
        waiting = asyncio.create_task(source(queue).next(order(0)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        queue.put()
        return await waiting

    assert numbers([asyncio.run(scenario())]) == [1]


def test_groups_of_a_service_are_not_lost_when_the_workers_fail() -> None:
    async def scenario() -> Sequence[Outcome | Passed]:
        queue = MemoryQueue()
        queue.put()
        pool = SourcedPool(QuickPool(fails=True), {1: source(queue)})
        return await pool.run([order(0), order(1, environment=1), order(2)])

    first, given, last = asyncio.run(scenario())
    assert isinstance(first, Failure)
    assert isinstance(last, Failure)
    assert numbers([given]) == [1]


async def steps_of(queue: MemoryQueue, count: int, weights: tuple[float, float], **options: Any) -> list[Batch]:
    environments = [describe("arithmetic", label="played").build(), describe("service", label="remote").build()]
    mixture = Mixture(environments, [Portion(weight, 2) for weight in weights], "train", 0)
    remote = source(queue, others=True, played=True, **options)
    pool = SourcedPool(QuickPool(), {1: remote})
    dispatcher = Dispatcher(pool, mixture, seed=0, sampling=Sampling(), prompts=8, learn=mixture.learn)
    found = []
    for version in range(count):
        found.append(await dispatcher.next_groups(8))
        dispatcher.trained(version)
    await dispatcher.close()
    return found


def origins(steps: Sequence[Batch]) -> list[str]:
    return [group.trajectories[0].environment for step in steps for group in step.groups]


def test_weights_share_the_steps_between_a_service_and_another_environment() -> None:
    async def scenario() -> list[Batch]:
        queue = MemoryQueue()
        for _ in range(20):
            queue.put()
        return await steps_of(queue, 4, (1.0, 1.0))

    steps = asyncio.run(scenario())
    assert origins(steps).count("remote") == 16
    assert numbers([group for step in steps for group in step.groups if "number" in group.task.info]) == [*range(1, 17)]


def test_a_silent_service_does_not_hold_up_the_other_environment() -> None:
    steps = asyncio.run(asyncio.wait_for(steps_of(MemoryQueue(), 5, (1.0, 9.0)), 5))
    assert origins(steps) == ["played"] * 40
    assert not any(step.failures for step in steps)


def test_two_silent_services_are_waited_for_without_spinning() -> None:
    async def scenario() -> int:
        first, second = MemoryQueue(), MemoryQueue()
        environments = [describe("service", label=label).build() for label in ("a", "b")]
        mixture = Mixture(environments, [Portion(1.0, 2)] * 2, "train", 0)
        sources = {0: source(first, others=True), 1: source(second, others=True)}
        dispatcher = Dispatcher(
            SourcedPool(QuickPool(), sources), mixture, seed=0, sampling=Sampling(), prompts=2, learn=mixture.learn
        )
        step = asyncio.create_task(dispatcher.next_groups(2))
        await asyncio.sleep(0.3)
        assert not step.done()
        second.put()
        second.put()
        assert numbers((await asyncio.wait_for(step, 30)).groups) == [1, 2]
        position = dispatcher.position
        await dispatcher.close()
        return position

    assert asyncio.run(scenario()) < 100
