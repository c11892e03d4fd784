"""What a supervised run tells its supervisor through a pipe: its folder, that it makes progress, and why it failed."""

import asyncio
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ....verifiers.errors import InfrastructureError

PIPE = "LACHESIS_SUPERVISOR"
"""The environment variable with the number of the pipe's file descriptor."""
RESTARTED = "LACHESIS_RESTARTED"
"""The environment variable that says why the run was restarted."""

STEP = "step"
"""The event of a step that is done."""
PROGRESS = frozenset({STEP, "started", "trainer", "worker", "admitted", "made", "consumed", "published"})
"""The events that count as progress. Those of lost and replaced parts do not: they may go on for ever."""

Result = TypeVar("Result")


class Heartbeat:
    """Writes one line of JSON for each message. A run without a supervisor has no pipe, and nothing is written.

    If the supervisor has died, the run stops as after SIGTERM, so that two runs never continue the same folder.

    Args:
        pipe: file descriptor to write to; None without a supervisor.
        restarted: why the supervisor has started this run again; empty if it has not.
    """

    EVERY = 0.5
    """Seconds between two messages about progress; more frequent ones are left out."""
    PULSE = 5.0
    """Seconds between two messages of a run that may wait for others."""

    def __init__(self, pipe: int | None = None, restarted: str = "") -> None:
        self._pipe, self.restarted = pipe, restarted
        self._last = 0.0
        self._writing = threading.Lock()  # a learner may have a thread

    @classmethod
    def of_environment(cls) -> "Heartbeat":
        """Take the pipe from the environment, which the processes that this one starts do not inherit."""
        number, restarted = os.environ.pop(PIPE, ""), os.environ.pop(RESTARTED, "")
        if not (number.isascii() and number.isdigit()):
            return cls()
        with suppress(OSError, OverflowError):
            pipe = int(number)
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                os.set_inheritable(pipe, False)
                os.set_blocking(pipe, False)
                return cls(pipe, restarted)
        return cls()

    def in_folder(self, run: Path) -> None:
        """Tell in which folder the run is."""
        self._tell(run=str(run.resolve()))

    def event(self, name: str) -> None:
        """Tell of an event, if it is progress."""
        now = time.monotonic()
        if name in PROGRESS and (name == STEP or now - self._last > self.EVERY):
            self._last = now
            self._tell(event=name)

    def failed(self, error: Exception) -> None:
        """Tell what ended the run, and whether a restart may help.

        It may after a failure of the infrastructure. It does not if the configuration, the user's code or Lachesis
        itself is wrong.
        """
        from_ray = type(error).__module__.partition(".")[0] == "ray"
        again = from_ray or isinstance(error, InfrastructureError | OSError | MemoryError)
        self._tell(failed=" ".join(str(error).split())[:500] or type(error).__name__, again=again)

    async def during(self, run: Awaitable[Result], waits: bool) -> Result:
        """Await ``run``.

        Args:
            run: the run.
            waits: whether it may wait for groups from outside, without a limit. Then it shows progress while its event
                loop runs.
        """
        pulse = asyncio.create_task(self._beat(), name="heartbeat") if waits and self._pipe is not None else None
        try:
            return await run
        finally:
            if pulse:
                pulse.cancel()

    async def _beat(self) -> None:
        while True:
            self.event("started")
            await asyncio.sleep(self.PULSE)

    def _tell(self, **message: object) -> None:
        with self._writing:
            if self._pipe is None:
                return
            try:
                os.write(self._pipe, json.dumps(message).encode() + b"\n")
            except BlockingIOError:  # the supervisor is stopped; it will see later messages
                return
            except OSError:
                self._pipe = None
                os.kill(os.getpid(), signal.SIGTERM)
