"""Blocking calls with a deadline, made beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def off_loop(call: Callable[[], Result], seconds: float) -> Result:
    """Return what ``call`` returns, made in a thread of its own.

    A call that never returns leaves its thread behind; that thread does not keep the process from ending. If this
    process is stopped meanwhile, a quarter of the time has passed at most.

    Raises:
        TimeoutError: it takes more than ``seconds``.
        BaseException: whatever ``call`` raises.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            outcome: tuple[Result | None, BaseException | None] = (call(), None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            outcome = (None, error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="blocking call", daemon=True).start()
    for _ in range(4):
        if (await asyncio.wait({answer}, timeout=seconds / 4))[0]:
            return answer.result()
    answer.cancel()
    raise TimeoutError
