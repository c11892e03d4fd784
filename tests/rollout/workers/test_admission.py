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
    assert 14 <= waiting <= 18  # 64 attempts with 16 requests
    for _ in range(20):
        slow.running = admission.playing
        admission.look()
        await turns()
    assert len(groups.begun) == waiting


@in_a_loop
async def test_engines_that_join_and_leave_change_the_room() -> None:
    first, second = engine(room=4), engine(room=4)
    second.happened(Event.LOST, "killed")
    admission = Admission([first, second])
    groups = Groups(admission)
    await groups.add(*range(8))
    assert len(groups.begun) == 2
    for event in (Event.STARTED, Event.ANSWERED, Event.REFITTED):
        second.happened(event, "")
    admission.look()
    await turns()
    before = len(groups.begun)
    assert before >= 4
    first.happened(Event.LOST, "killed")
    await groups.end(*groups.begun[:1])
    assert len(groups.begun) == before  # the room of one engine is full without it


@in_a_loop
async def test_without_any_working_engine_nothing_is_held_so_that_the_groups_deadline_decides() -> None:
    only = engine(room=1)
    admission = Admission([only])
    groups = Groups(admission)
    await groups.add(0, 1)
    assert groups.begun == [0]
    only.happened(Event.LOST, "killed")
    admission.look()
    await turns()
    assert groups.begun == [0, 1]


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
