import asyncio
import threading
import time

import pytest

from lachesis.rollout.workers.fleet.off_loop import off_loop


def test_it_returns_or_raises_what_the_call_does() -> None:
    assert asyncio.run(off_loop(lambda: 3, 5)) == 3
    with pytest.raises(ZeroDivisionError):
        asyncio.run(off_loop(lambda: 1 // 0, 5))


def test_a_call_that_blocks_holds_up_neither_the_loop_nor_the_end_of_the_process() -> None:
    free = threading.Event()

    async def session() -> int:
        turns = 0
        blocked = asyncio.create_task(off_loop(free.wait, 0.2))
        while not blocked.done():
            turns += 1
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await blocked
        return turns

    assert asyncio.run(session()) > 1
    left = next(thread for thread in threading.enumerate() if thread.name == "blocking call")
    assert left.daemon
    free.set()
    left.join(5)


def test_an_answer_after_the_loop_has_ended_is_dropped() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(off_loop(lambda: time.sleep(0.1), 0.01))
    time.sleep(0.2)  # a thread that raised would fail this test: warnings are errors
