import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lachesis.rollout.event_log import EventLog
from lachesis.rollout.workers.admission import Admission
from lachesis.rollout.workers.fleet.state import Event, Member


def engine(room: int, running: int = 0) -> Member:
    """An engine that works."""
    member = Member("engine", 0, EventLog())
    member.happened(Event.ANSWERED, "")
    member.happened(Event.REFITTED, "")
    member.room, member.running = room, running
    return member


class Groups:
    """Groups of four attempts that play until they are told to end."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.begun: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def add(self, *numbers: int, attempts: int = 4) -> None:
        for number in numbers:
            self._ends[number] = asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._play(number, attempts))
        await turns()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number].set()
        await turns()

    async def _play(self, number: int, attempts: int) -> None:
        async with self._admission.begun(attempts):
            self.begun.append(number)
            await self._ends[number].wait()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


Test = Callable[[], Coroutine[Any, Any, None]]


def in_a_loop(test: Test) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    return run


def held(admission: Admission) -> float:
    """Attempts that are held back now."""
    admission.metrics()
    return admission.metrics()["rate/attempts_held"]


@in_a_loop
async def test_groups_begin_in_order_and_twice_as_many_as_the_engines_hold() -> None:
    admission = Admission([engine(room=8), engine(room=8)])
    groups = Groups(admission)
    await groups.add(*range(12))
    assert admission.metrics() == {"rate/attempts_playing": 32, "rate/attempts_held": 16}
    assert groups.begun == list(range(8))  # 32 attempts for 16 slots
    assert (admission.playing, held(admission)) == (32, 16)
    await groups.end(5)
    assert groups.begun == list(range(9))
    await groups.end(0, 1, 8)
    assert groups.begun == list(range(12))
    await groups.end(*range(12))
    assert (admission.playing, held(admission)) == (0, 0)


@in_a_loop
async def test_nothing_is_held_back_for_engines_without_a_limit_or_without_engines() -> None:
    for engines in ([], [engine(room=0)], [engine(room=4), engine(room=0)]):
        groups = Groups(Admission(engines))
        await groups.add(*range(50))
        assert groups.begun == list(range(50))
        await groups.end(*range(50))


@in_a_loop
async def test_while_episodes_wait_for_tools_others_begin_and_no_more_once_they_ask() -> None:
    slow = engine(room=8)
    admission = Admission([slow])
    groups = Groups(admission)
    await groups.add(*range(40))
    assert len(groups.begun) == 4
    for _ in range(20):
        slow.running = admission.playing // 4  # a quarter of the attempts have a request
        admission.look()
        await turns()
    waiting = len(groups.begun)
    assert 16 <= waiting <= 20  # 64 attempts with 16 requests, and at most one look more
    for _ in range(20):
        slow.running = admission.playing
        admission.look()
        await turns()
    assert len(groups.begun) == waiting


@in_a_loop
async def test_a_slow_end_of_a_step_lets_no_more_of_the_next_one_begin() -> None:
    only = engine(room=8)
    admission = Admission([only])
    groups = Groups(admission)
    await groups.add(*range(4))
    await groups.end(0, 1, 2)
    for _ in range(20):  # the last group waits for a judge
        only.running = 0
        admission.look()
    await groups.end(3)
    await groups.add(*range(10, 30))
    assert len(groups.begun) == 4 + 4


@in_a_loop
async def test_an_engine_that_starts_again_or_joins_lets_no_other_groups_begin_before_it_serves() -> None:
    first, second = engine(room=4), engine(room=4)
    admission = Admission([first, second])
    groups = Groups(admission)
    await groups.add(*range(12))
    assert len(groups.begun) == 4
    for event in (Event.LOST, Event.STARTED, Event.ANSWERED):
        second.happened(event, "")
        second.room = second.running = 0
        first.running = 16
        admission.look()
        await turns()
        assert len(groups.begun) == 4
    second.happened(Event.REFITTED, "")
    second.room, first.running = 4, 8
    admission.look()
    await turns()
    assert len(groups.begun) == 6


@in_a_loop
async def test_while_no_engine_serves_the_room_is_that_of_the_last_ones() -> None:
    only = engine(room=4)
    admission = Admission([only])
    groups = Groups(admission)
    await groups.add(*range(4))
    assert groups.begun == [0, 1]
    only.happened(Event.LOST, "killed")
    only.running = 0
    admission.look()
    await groups.add(*range(4, 40))
    assert len(groups.begun) <= 4
    await groups.end(*groups.begun)
    assert 4 <= len(groups.begun) <= 8  # they fail at their deadlines, and the next ones are tried


@in_a_loop
async def test_requests_of_others_leave_as_many_attempts_as_the_engines_hold() -> None:
    busy = engine(room=8, running=300)
    admission = Admission([busy])
    admission.look()
    groups = Groups(admission)
    await groups.add(*range(10))
    assert len(groups.begun) == 2


@in_a_loop
async def test_a_group_larger_than_the_room_begins_alone() -> None:
    groups = Groups(Admission([engine(room=1)]))
    await groups.add(0, 1, attempts=64)
    assert groups.begun == [0]
    await groups.end(0)
    assert groups.begun == [0, 1]


@in_a_loop
async def test_a_group_that_is_cancelled_gives_its_place_to_the_next() -> None:
    admission = Admission([engine(room=2)])
    groups = Groups(admission)
    await groups.add(0, 1, 2)
    assert groups.begun == [0]
    for number in (1, 0):  # one that waits, and one that plays
        groups.tasks[number].cancel()
    with pytest.raises(asyncio.CancelledError):
        await groups.tasks[0]
    await turns()
    assert groups.begun == [0, 2]
    assert (admission.playing, held(admission)) == (4, 0)
