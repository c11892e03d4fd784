"""A limit on concurrent work that holds across the event loops and threads of this process."""

import asyncio
import threading
from collections import deque
from functools import lru_cache
from types import TracebackType


class Slots:
    """A semaphore for several event loops, in the order of arrival: ``async with slots: …``.

    Args:
        number: how many may be inside at once.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = loop.create_future()
            self._waiting.append((loop, turn))
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                waited = (loop, turn) in self._waiting
                if waited:
                    self._waiting.remove((loop, turn))
            if not waited:  # the slot was given to this task already
                self._pass_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the slot to the next that waits; loops that were closed while they waited are passed over."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                loop, turn = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(_wake, turn)
            except RuntimeError:  # the loop is closed
                continue
            return


@lru_cache(maxsize=256)
def slots_of(url: str, model: str, number: int) -> Slots:
    """The slots of one model in this process."""
    return Slots(number)


def _wake(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
