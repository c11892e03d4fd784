"""The deadline of a verifier, which is paused while it waits for something that has its own deadline."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class _PausableTimeout:
    """A timeout that can be paused, by several waits at once."""

    def __init__(self, seconds: float) -> None:
        self.timeout = asyncio.timeout(seconds)
        self._pauses = 0
        self._remaining = seconds

    def pause(self) -> None:
        self._pauses += 1
        if self._pauses == 1:
            self._remaining = (self.timeout.when() or 0.0) - asyncio.get_running_loop().time()
            self.timeout.reschedule(None)

    def resume(self) -> None:
        self._pauses -= 1
        if not self._pauses:
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._remaining)


_current: ContextVar[_PausableTimeout | None] = ContextVar("_current", default=None)


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the body after ``seconds`` and raise ``TimeoutError``; time inside ``pause_deadline`` does not count."""
    clock = _PausableTimeout(seconds)
    token = _current.set(clock)
    try:
        async with clock.timeout:
            yield clock.timeout
    finally:
        _current.reset(token)


@contextmanager
def pause_deadline() -> Iterator[None]:
    """Pause the deadline while the body awaits a worker or a sandbox, which has its own deadline.

    When hundreds of completions wait for a few workers, their verifiers must not run out of time.
    """
    clock = _current.get()
    if clock is None:
        yield
        return
    clock.pause()
    try:
        yield
    finally:
        clock.resume()
