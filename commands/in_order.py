"""Concurrent work whose results are handed on in the order of the items, in bounded memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 4096
"""Most results that may wait for an earlier one; only then does a slow item hold up the others."""
_TURN = 0.02
"""Seconds after which the event loop gets a turn even if no item awaits anything; Ctrl-C and deadlines need it."""


async def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    emit: Callable[[list[Result]], None],
    jobs: int,
    window: int = WINDOW,
) -> None:
    """Give ``emit`` each result of ``work``, in the order of ``items``, as soon as all earlier ones are there.

    Items are taken one by one, as they are begun. At most ``jobs`` are worked on at once, and none is begun ``window``
    or more after the first unfinished one. The first error ends everything.
    """
    loop = asyncio.get_running_loop()
    numbered = enumerate(items)
    done: dict[int, Result] = {}
    first, moved, turn = 0, asyncio.Event(), loop.time()

    async def worker() -> None:
        nonlocal first, turn
        for number, item in numbered:
            while number - first >= window:
                moved.clear()
                await moved.wait()
            done[number] = await work(item)
            ready = []
            while first in done:
                ready.append(done.pop(first))
                first += 1
            if ready:
                emit(ready)
                moved.set()
            if loop.time() - turn > _TURN:
                await asyncio.sleep(0)
                turn = loop.time()

    workers = [asyncio.create_task(worker()) for _ in range(jobs)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
