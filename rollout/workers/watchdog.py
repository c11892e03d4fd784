"""A watchdog that interrupts code which blocks an event loop for too long."""

import asyncio
import atexit
import ctypes
import faulthandler
import sys
import threading
import time

BEATS = 10
"""How often it looks within the limit."""
STRIKES = 16
"""Most interrupts within one turn of a loop, as so many attempts may block one after another."""


class HeldUp(BaseException):
    """Raised inside the code that blocks a loop; not an ``Exception``, so ``except Exception`` does not catch it."""

    limit = 0.0

    def __str__(self) -> str:
        return (
            f"the code blocked its event loop for more than {self.limit:g} s (rollout.blocking); await what takes "
            "time, or run it with asyncio.to_thread"
        )


class Watchdog:
    """Watches event loops, each on its own thread, and interrupts the code that blocks one.

    A loop that takes no turn for ``limit`` seconds has ``HeldUp`` raised in the code that runs there: Python code ends
    at its next instruction, a call into C when it returns. The code that follows in the same turn has the whole limit
    again. If the code cannot be interrupted, the process ends after twice the limit, with its stack on standard error,
    even if the code holds the GIL; the pool then starts another process.

    Args:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._turns: dict[int, float] = {}  # when the loop of each thread took its last turn
        self._beating: set[asyncio.Task[None]] = set()
        self._raised: dict[int, float] = {}  # the turn for which it was interrupted
        self._strikes: dict[int, int] = {}  # interrupts that were raised since the last turn
        self._lock = threading.Lock()
        self._over = False
        atexit.register(self._end)  # a slow exit is not the environment's fault

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
        """Interrupt the threads that are late; False if no loop is left to watch."""
        with self._lock:
            if self._over or not self._turns:
                faulthandler.cancel_dump_traceback_later()
                return False
            now, turns = time.monotonic(), dict(self._turns)
            left = max(2 * self.limit - (now - min(turns.values())), 0.001)
            faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__ or sys.stderr)
            for thread, turn in turns.items():
                if now - turn > self.limit and self._raised.get(thread) != turn:  # once a turn
                    self._raised[thread] = turn
                    _raise_in(thread, self._interruption(thread))
            return True

    def _interruption(self, thread: int) -> type[HeldUp]:
        """The exception class for ``thread``, which notes when it is raised there."""

        def come(_: HeldUp) -> None:
            self._strikes[thread] += 1
            if thread in self._turns and self._strikes[thread] <= STRIKES:
                self._turns[thread] = time.monotonic()

        return type("HeldUp", (HeldUp,), {"limit": self.limit, "__init__": come})


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in another thread, at its next instruction; only a class can be passed, no instance."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
