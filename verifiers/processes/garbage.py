"""How often a process that serves looks for cyclic garbage, which holds up every request meanwhile."""

import functools
import gc

_THRESHOLDS = 1_000, 10, 250
"""Look at new objects after 1,000, again after 10,000, and at all after 2.5 million more were made than freed."""


@functools.cache
def collect_rarely() -> None:
    """Let the collector skip everything that exists now, and look at the rest more rarely than Python does.

    Python's defaults look at every object of the process each time that a quarter more have come. Imports alone make
    100,000 to 400,000 objects, so that takes 0.1 s and longer. With this, pauses stay below 20 ms until the process has
    2.5 million new objects. Cycles are still collected: at most that many objects, or a quarter of all if that is more,
    wait for it.

    Call it in a process's entry point once everything is imported and loaded; later calls do nothing. It changes the
    whole process, so libraries and servers that run in a user's process do not call it. Large arrays in cycles wait
    longer for their end too, which matters to a process that trains on a GPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
