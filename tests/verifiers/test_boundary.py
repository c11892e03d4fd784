"""The boundary around user code: exceptions become records, while cancellation and Ctrl-C pass through."""

import asyncio
from collections.abc import Iterator

import pytest

from lachesis.verifiers.boundary import LONGEST_MESSAGE, LONGEST_TRACEBACK, Boundary
from lachesis.verifiers.errors import EngineLost
from lachesis.verifiers.processes.deadline import deadline


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Interrupting(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def raised(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError: "),  # nobody cancelled the task: the code raised it itself
        (GeneratorExit(), "GeneratorExit: "),
        (Unprintable(), "Unprintable, whose message cannot be had (ValueError)"),
        (Interrupting(), "Interrupting, whose message cannot be had (KeyboardInterrupt)"),
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


def test_a_generator_or_a_coroutine_that_is_closed_ends_and_has_no_fault() -> None:
    outcomes = []

    def numbers() -> Iterator[int]:
        with Boundary() as outcome:
            outcomes.append(outcome)
            yield from range(3)
        yield 4  # a generator that goes on after it was closed is a RuntimeError

    async def user() -> None:
        await asyncio.sleep(60)

    async def play() -> None:
        with Boundary() as outcome:
            outcomes.append(outcome)
            async with asyncio.timeout(60), deadline(60):
                await user()
        await asyncio.sleep(0)

    async def leave_a_coroutine_open() -> None:
        started = play()
        started.send(None)
        started.close()

    made = numbers()
    next(made)
    made.close()
    asyncio.run(leave_a_coroutine_open())
    assert [outcome.fault for outcome in outcomes] == [None, None]


def test_a_record_keeps_the_ends_of_a_long_message_and_can_be_written_as_utf_8() -> None:
    with Boundary() as outcome:
        raise ValueError("begin \udc80" + "x" * 10**7 + "end")
    assert outcome.fault
    for text, most in ((outcome.fault.message, LONGEST_MESSAGE), (outcome.fault.traceback, LONGEST_TRACEBACK)):
        assert len(text.encode()) < most + 100
        assert "characters left out" in text
        assert text.rstrip().endswith("xend")
    assert outcome.fault.message.startswith("ValueError: begin \\udc80xxx")
