"""Which workers are given groups, and what they are told of the engines; workers and engines answer by a script."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lachesis.rollout.cluster.room import RoomView
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.orders import Failure, Order
from lachesis.rollout.workers.fleet.keeper import ActorLost, Keeper, Pulse
from lachesis.rollout.workers.fleet.room_watch import RoomWatch
from lachesis.rollout.workers.fleet.state import State
from lachesis.rollout.workers.remote_worker import WorkerLost
from lachesis.rollout.workers.worker_fleet import WorkerFleet
from lachesis.verifiers.task import Task


@dataclass(frozen=True)
class Named:
    key: str


class Scripted:
    """The handle of a worker that fails each order, and notes what it is told."""

    def __init__(self, number: int) -> None:
        self.number, self.process, self.deaf = number, 1, False
        self.told: list[tuple[int, list[str]]] = []

    async def hello(self, deadline: float) -> Pulse:
        return await self.pulse(deadline)

    async def pulse(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        return Pulse(self.process, node=f"node {self.number}")

    async def use(self, engines: Sequence[Named | None]) -> None:
        if self.deaf:
            raise ActorLost("it does not hear")
        self.told.append((self.process, [engine.key if engine else "" for engine in engines]))

    async def run(self, orders: Sequence[Order]) -> list[Failure]:
        return [Failure(order.index, f"worker {self.number}") for order in orders]

    async def kill(self, restart: bool) -> None:
        self.process += 1


Use = Callable[[WorkerFleet, list[Scripted], list[Named | None]], Awaitable[None]]


def with_fleet(use: Use, number: int = 1, view: RoomView | None = None) -> None:
    async def session() -> None:
        workers, engines = [Scripted(n) for n in range(number)], [Named("a"), None]
        room = RoomWatch(lambda: view or RoomView())
        fleet = WorkerFleet(workers, room=room, serving=lambda: list(engines))  # type: ignore[arg-type,return-value]
        try:
            async with asyncio.timeout(60):
                await use(fleet, workers, engines)
        finally:
            await fleet.close()

    asyncio.run(session())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keeper, "EVERY", 0.001)


async def until(true: Callable[[], Any]) -> None:
    while not true():  # noqa: ASYNC110 - whatever the test waits for
        await asyncio.sleep(0)


def order(index: int) -> Order:
    return Order(index, 0, Task("q", "a"), 1, (0, 0), Sampling())


def test_a_worker_knows_the_engines_before_it_is_healthy_and_each_change_once() -> None:
    async def use(fleet: WorkerFleet, workers: list[Scripted], engines: list[Named | None]) -> None:
        [worker], [member] = workers, fleet.members
        worker.deaf = True
        await until(lambda: member.state is State.STALE)
        await asyncio.sleep(0.02)
        assert member.state is State.STALE
        worker.deaf = False
        await until(lambda: member.state is State.HEALTHY)
        assert worker.told == [(1, ["a", ""])]
        engines[1] = Named("b")
        await until(lambda: len(worker.told) > 1)
        await asyncio.sleep(0.02)
        assert worker.told[1:] == [(1, ["a", "b"])]

    with_fleet(use)


def test_the_next_process_of_a_worker_is_told_the_engines_again() -> None:
    async def use(fleet: WorkerFleet, workers: list[Scripted], engines: list[Named | None]) -> None:
        [worker], [member] = workers, fleet.members
        await until(lambda: member.state is State.HEALTHY)
        worker.process = 2
        await until(lambda: member.restarts and member.state is State.HEALTHY)
        assert worker.told == [(1, ["a", ""]), (2, ["a", ""])]

    with_fleet(use)


@pytest.mark.parametrize(
    "view", [RoomView({("workers", 0): False, ("workers", 1): True}), RoomView(leaving={"node 0": 60.0})]
)
def test_a_worker_without_a_place_or_on_a_node_that_will_go_gets_no_groups(view: RoomView) -> None:
    async def use(fleet: WorkerFleet, workers: list[Scripted], engines: list[Named | None]) -> None:
        await until(lambda: fleet.members[0].state in (State.ABSENT, State.DRAINING))
        outcomes = [await fleet.run([order(index)]) for index in range(3)]
        assert [outcome.reason for [outcome] in outcomes if isinstance(outcome, Failure)] == ["worker 1"] * 3
        assert fleet.metrics()["rate/workers_healthy"] <= 0.5

    with_fleet(use, 2, view)


@pytest.mark.parametrize(
    ("departs", "reason"), [(True, "worker 0"), (False, "3 environment workers in a row were lost")]
)
def test_an_order_outlives_any_number_of_workers_that_left_their_node_but_not_of_those_that_died(
    departs: bool, reason: str
) -> None:
    async def use(fleet: WorkerFleet, workers: list[Scripted], engines: list[Named | None]) -> None:
        [worker], [member], ends = workers, fleet.members, 7
        play = worker.run

        async def run(orders: Sequence[Order]) -> list[Failure]:
            nonlocal ends
            ends -= 1
            if ends:
                member.departures += departs
                raise WorkerLost("died")
            return await play(orders)

        worker.run = run  # type: ignore[method-assign]
        await until(lambda: member.state is State.HEALTHY)
        [outcome] = await fleet.run([order(0)])
        assert isinstance(outcome, Failure)
        assert reason in outcome.reason

    with_fleet(use)
