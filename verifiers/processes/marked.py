"""Processes that are known by a mark in their environment, in whatever session or group they are."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 10
_PAUSE = 0.01
"""Seconds between two rounds."""


def end_processes(variable: str, mark: str) -> None:
    """Kill the processes that have ``mark`` in ``variable``, on systems with ``/proc``.

    They may fork meanwhile, and the environment of a process that begins a program cannot be read for a moment. So it
    looks again as long as there are such processes, but not more than ten times.
    """
    wanted = f"{variable}={mark}".encode()
    for _ in range(_ROUNDS):
        again = False
        for entry in _PROC.glob("[0-9]*"):
            with suppress(OSError):  # it has ended, belongs to another user, or is a thread of the kernel
                environment = (entry / "environ").read_bytes()
                if wanted in environment.split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    again = True
                elif not environment and (entry / "exe").readlink():
                    again = True
        if not again:
            return
        time.sleep(_PAUSE)
