"""Work that is done side by side and handed on in its order, within a bounded memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 4096
"""How many results may wait for an earlier one: a slow item holds up the others only then."""
_TURN = 0.02
"""Seconds after which the event loop gets a turn, even if no item waits for anything: Ctrl-C and deadlines need it."""


async def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    emit: Callable[[list[Result]], None],
    jobs: int,
    window: int = WINDOW,
) -> None:
    """Give ``emit`` the results of ``work``, in the order of ``items``, as soon as all before them are there.

    Items are taken one by one when they are begun: at most ``jobs`` are under way, and none is begun ``window`` or more
    after the first that is not done. The first error ends all.
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
