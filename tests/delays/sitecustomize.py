"""Delays threads, files, processes and event loops at random, for ``make test-late``: what counts on their speed fails.

Python imports this module by its name as it starts, if its folder is in ``PYTHONPATH``.
"""

import asyncio.base_events
import concurrent.futures.thread
import functools
import os
import random
import subprocess
import threading
import time
from typing import Any

RATE = float(os.environ.get("LACHESIS_DELAYS", "0"))
"""The share of the calls that are late."""
LOOP_RATE = RATE / 100
"""The share of the turns of an event loop that are late: a loop takes very many."""

_chance = random.Random()


def delay(owner: Any, name: str, longest: float, rate: float = RATE) -> None:
    """Let a ``rate`` of the calls of a function begin up to ``longest`` seconds late, and mostly much less."""
    plain = getattr(owner, name)

    @functools.wraps(plain)
    def late(*arguments: Any, **named: Any) -> Any:
        if _chance.random() < rate:
            time.sleep(_chance.random() ** 2 * longest)
        return plain(*arguments, **named)

    setattr(owner, name, late)


if RATE:
    delay(concurrent.futures.thread._WorkItem, "run", 0.6)  # type: ignore[attr-defined]
    delay(threading.Thread, "run", 0.3)
    for function in ("fsync", "replace", "rename"):
        delay(os, function, 0.2)
    delay(subprocess.Popen, "__init__", 0.3)
    delay(subprocess.Popen, "_execute_child", 0.3)
    delay(asyncio.base_events.BaseEventLoop, "_run_once", 0.2, LOOP_RATE)
