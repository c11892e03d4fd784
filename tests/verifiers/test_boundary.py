"""The boundary around user code: exceptions become records, while cancellation and Ctrl-C pass through."""

import asyncio

import pytest

from lachesis.verifiers.boundary import Boundary
from lachesis.verifiers.errors import EngineLost


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raised(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError: "),  # nobody cancelled the task: the code raised it itself
        (Unprintable(), "Unprintable, whose message cannot be had (ValueError)"),
    ],
)
def test_an_exception_of_user_code_becomes_a_record_with_its_location(error: BaseException, message: str) -> None:
    with Boundary(__file__) as outcome:
        raised(error)
    assert outcome.error is error
    assert outcome.fault
    assert (outcome.fault.message, outcome.fault.file) == (message, __file__)
    assert str(outcome.fault) == f"{message} ({__file__}, line {raised.__code__.co_firstlineno + 1})"
    assert "raise error" in outcome.fault.traceback or "cannot be had" in message


def test_code_that_ends_well_has_no_fault() -> None:
    with Boundary() as outcome:
        pass
    assert (outcome.error, outcome.fault) == (None, None)


def test_an_infrastructure_failure_passes_unless_told_otherwise() -> None:
    with pytest.raises(EngineLost), Boundary():
        raise EngineLost("gone")
    with Boundary(passing=()) as outcome:
        raise EngineLost("gone")
    assert isinstance(outcome.error, EngineLost)


def test_a_cancellation_of_the_task_and_ctrl_c_pass() -> None:
    async def cancelled() -> None:
        async def wait() -> None:
            with Boundary():
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    with pytest.raises(KeyboardInterrupt), Boundary():
        raise KeyboardInterrupt


def test_a_request_to_cancel_that_a_task_group_left_behind_is_not_taken_for_one() -> None:
    async def play() -> str:
        async def fail() -> None:
            raise ValueError

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(1)
        except* ValueError:
            pass
        with Boundary() as outcome:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return str(outcome.fault)

    assert asyncio.run(play()).startswith("CancelledError")
