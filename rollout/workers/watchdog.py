"""Interrupts code that holds up an event loop."""

import asyncio
import atexit
import ctypes
import faulthandler
import sys
import threading
import time

BEATS = 10
"""Looks within the limit."""
STRIKES = 16
"""How often one turn may be interrupted and still go on: so many attempts that block may follow each other in it."""


class HeldUp(BaseException):
    """Raised inside the code that holds up a loop. Not an ``Exception``: what catches all of those stays ended."""

    limit = 0.0

    def __str__(self) -> str:
        return (
            f"the code held up its event loop for more than {self.limit:g} s (rollout.blocking); await what takes "
            "time, or run it with asyncio.to_thread"
        )


class Watchdog:
    """Sees to it that event loops take their turns, each on a thread of its own.

    After ``limit`` seconds without one, ``HeldUp`` is raised in whatever runs there: Python code ends at its next
    instruction, a call into C when it returns; who comes after it in the same turn has the whole limit. What cannot be
    interrupted ends the process after twice the limit, with its stack on standard error, also where the GIL is held;
    whoever watches the process then starts another.

    Args:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._turns: dict[int, float] = {}  # when the loop of each thread took its last one
        self._beating: set[asyncio.Task[None]] = set()
        self._raised: dict[int, float] = {}  # for which of those it was interrupted
        self._strikes: dict[int, int] = {}  # how often that came through since the last turn
        self._lock = threading.Lock()
        self._over = False
        atexit.register(self._end)  # what takes its time to exit is not held up by anyone's code

    def watch(self) -> None:
        """Watch the running event loop until it ends."""
        with self._lock:
            first = not self._turns
            self._turns[threading.get_ident()] = time.monotonic()
        self._beating.add(asyncio.get_running_loop().create_task(self._beat(), name="watchdog"))
        if first:
            threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    async def _beat(self) -> None:
        thread = threading.get_ident()
        try:
            while True:
                self._turns[thread], self._strikes[thread] = time.monotonic(), 0
                await asyncio.sleep(self.limit / BEATS)
        finally:
            with self._lock:
                del self._turns[thread]
                if not self._turns:
                    faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        with self._lock:
            self._over = True
            faulthandler.cancel_dump_traceback_later()

    def _look(self) -> None:
        while self._go_on():
            time.sleep(self.limit / BEATS)

    def _go_on(self) -> bool:
        """Interrupt who is late; False where there is nobody left to watch."""
        with self._lock:
            if self._over or not self._turns:
                faulthandler.cancel_dump_traceback_later()
                return False
            now, turns = time.monotonic(), dict(self._turns)
            left = max(2 * self.limit - (now - min(turns.values())), 0.001)
            faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__ or sys.stderr)
            for thread, turn in turns.items():
                if now - turn > self.limit and self._raised.get(thread) != turn:  # once: a second would hit us
                    self._raised[thread] = turn
                    _raise_in(thread, self._interruption(thread))
            return True

    def _interruption(self, thread: int) -> type[HeldUp]:
        """What is raised in ``thread``; made there, when it comes through."""

        def come(_: HeldUp) -> None:
            self._strikes[thread] += 1
            if thread in self._turns and self._strikes[thread] <= STRIKES:
                self._turns[thread] = time.monotonic()

        return type("HeldUp", (HeldUp,), {"limit": self.limit, "__init__": come})


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in another thread, at its next instruction. Only a class can be given."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
