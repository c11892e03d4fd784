"""How long a verifier may take: a safety net that stands still while something runs which has a deadline of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class _Clock:
    """A timeout that can be stopped and go on, by several at a time."""

    def __init__(self, seconds: float) -> None:
        self.timeout = asyncio.timeout(seconds)
        self._stopped = 0
        self._left = seconds

    def stop(self) -> None:
        self._stopped += 1
        if self._stopped == 1:
            self._left = (self.timeout.when() or 0.0) - asyncio.get_running_loop().time()
            self.timeout.reschedule(None)

    def go_on(self) -> None:
        self._stopped -= 1
        if not self._stopped:
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._left)


_clock: ContextVar[_Clock | None] = ContextVar("_clock", default=None)


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Cancel what is inside after ``seconds``, raising ``TimeoutError``; waits in ``own_deadline`` do not count."""
    clock = _Clock(seconds)
    token = _clock.set(clock)
    try:
        async with clock.timeout:
            yield clock.timeout
    finally:
        _clock.reset(token)


@contextmanager
def own_deadline() -> Iterator[None]:
    """What is awaited inside has a deadline of its own, which begins when its turn comes.

    Where hundreds of completions wait for a few workers or sandboxes, the waiting is nobody's fault.
    """
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.stop()
    try:
        yield
    finally:
        clock.go_on()
