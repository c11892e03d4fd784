"""Results worked out once: callers share them across event loops, and a failure is not kept."""

import asyncio
import threading

import pytest

from lachesis.verifiers.code.whole_programs.once import Once


def test_callers_on_several_event_loops_share_one_result() -> None:
    once, calls, begun = Once[int](4), list[int](), threading.Barrier(3)

    async def work() -> int:
        await asyncio.sleep(0.05)
        calls.append(1)
        return 7

    async def ask() -> list[int]:
        begun.wait()
        return list(await asyncio.gather(*(once.get("key", work) for _ in range(4))))

    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(ask()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[7] * 4] * 3
    assert len(calls) == 1


def test_after_a_failure_or_a_cancellation_the_next_caller_tries() -> None:
    once = Once[str](4)

    async def fails() -> str:
        await asyncio.sleep(0)
        raise OSError("no")

    async def hangs() -> str:
        return await asyncio.Future()

    async def works() -> str:
        return "done"

    async def story() -> None:
        with pytest.raises(OSError, match="no"):
            await once.get("key", fails)
        first = asyncio.create_task(once.get("key", hangs))
        await asyncio.sleep(0)
        second = asyncio.create_task(once.get("key", works))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "done"

    asyncio.run(asyncio.wait_for(story(), 30))


def test_only_the_last_results_are_kept() -> None:
    once, calls = Once[int](2), list[int]()

    async def story() -> None:
        for key in (1, 2, 2, 1, 3, 1):

            async def work(key: int = key) -> int:
                calls.append(key)
                return key

            assert await once.get(key, work) == key

    asyncio.run(story())
    assert calls == [1, 2, 3, 1]
