"""Interrupts code that holds up the event loop of its process."""

import asyncio
import ctypes
import faulthandler
import math
import sys
import threading
import time

BEATS = 10
"""Looks within the limit."""


class HeldUp(BaseException):
    """Raised inside the code that holds up the loop. Not an ``Exception``: what catches all of those stays ended."""

    limit = 0.0

    def __str__(self) -> str:
        return (
            f"the code held up its process for more than {self.limit:g} s (rollout.blocking); await what takes "
            "time, or run it with asyncio.to_thread"
        )


class Watchdog:
    """Sees to it that the event loop takes its turns.

    After ``limit`` seconds without one, ``HeldUp`` is raised in whatever runs there: Python code ends at its next
    instruction, a call into C when it returns. What goes on for twice the limit ends the process, with its stack on
    standard error, also where the GIL is held; whoever watches the process then starts another.

    Args:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._turn = time.monotonic()
        self._owner = 0
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch the running event loop until it ends. Calling it again does nothing."""
        if self._beating is None:
            self._owner = threading.get_ident()
            self._beating = asyncio.get_running_loop().create_task(self._beat(), name="watchdog")
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def _beat(self) -> None:
        try:
            while True:
                self._turn = time.monotonic()
                faulthandler.dump_traceback_later(2 * self.limit, exit=True, file=sys.__stderr__ or sys.stderr)
                await asyncio.sleep(self.limit / BEATS)
        finally:
            self._turn = math.inf
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while self._turn < math.inf:
            time.sleep(self.limit / BEATS)
            if time.monotonic() - self._turn > self.limit:
                _raise_in(self._owner, type("HeldUp", (HeldUp,), {"limit": self.limit}))


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in another thread, at its next instruction. Only a class can be given."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
