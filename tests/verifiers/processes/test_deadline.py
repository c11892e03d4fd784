"""The deadline of a verifier is paused while it waits for something that has its own deadline."""

import asyncio

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.processes.deadline import deadline, pause_deadline
from lachesis.verifiers.rubric import Rubric, reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


async def wait(counted: float, own: float, at_once: int = 1) -> None:
    async def one() -> None:
        with pause_deadline():
            await asyncio.sleep(own)

    async with deadline(0.6):
        await asyncio.gather(*(one() for _ in range(at_once)))
        await asyncio.sleep(counted)


@pytest.mark.parametrize("at_once", [1, 5])
def test_time_in_a_paused_deadline_does_not_count(at_once: int) -> None:
    asyncio.run(wait(0.0, 0.9, at_once))


def test_time_before_and_after_the_pause_counts() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(wait(60.0, 0.3))


def test_a_pause_outside_a_deadline_has_no_effect() -> None:
    with pause_deadline():
        pass


class Slow:
    @reward()
    async def slow(self, case: Case) -> float:
        with pause_deadline():
            await asyncio.sleep(0.9)
        return 1.0


def test_waiting_for_a_sandbox_does_not_count_against_a_verifier() -> None:
    rubric = Rubric(deadline=0.6).with_methods(Slow())
    judged = asyncio.run(rubric.score(Case(Trajectory(Task("?", answer="1")))))
    assert judged.total == 1.0
