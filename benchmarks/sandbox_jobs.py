"""Time of a trivial sandbox job, one at a time, and jobs per second, against new bare interpreters."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

from lachesis.verifiers.errors import LachesisError
from lachesis.verifiers.sandbox.backends import LOCAL, open_backend
from lachesis.verifiers.sandbox.job import Job
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

JOBS, AT_ONCE, CPUS = 300, 8, 2
_TRIVIAL = Job("print(1)")
_BARE = [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-c", "print(1)"]


def rows() -> Iterator[tuple[str, float, str, float]]:
    for name in LOCAL:
        try:
            pool = open_backend(name, SandboxSettings(size=CPUS))
            level = pool.level.name.lower()
        except LachesisError as error:
            print(f"{name} is not measured: {error}")
            continue
        try:
            with asyncio.Runner() as loop:
                ours, bare = in_turn(partial(run_one, loop, pool), fresh)
                yield f"sandbox, {name} ({level}), a job, p50", 1e3 * ours, "ms", 1e3 * bare
                yield f"sandbox, {name}, jobs a second", loop.run(rate(pool)), "jobs/s", fresh_rate()
        finally:
            pool.close()


def run_one(loop: asyncio.Runner, pool: Sandbox) -> None:
    """Run one job in the sandbox."""
    loop.run(pool.run(_TRIVIAL))


def fresh() -> None:
    """Start a new interpreter, which is the cost of a job without a sandbox."""
    subprocess.run(_BARE, stdout=subprocess.PIPE, check=True)


def in_turn(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """The median seconds of both, measured in turn, so that other load affects both alike."""
    times: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for act in [ours, theirs] * JOBS:
        start = time.perf_counter()
        act()
        times[act].append(time.perf_counter() - start)
    return median(times[ours]), median(times[theirs])


async def rate(pool: Sandbox) -> float:
    """Jobs per second, ``AT_ONCE`` at a time."""
    waiting = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with waiting:
            done = await pool.run(_TRIVIAL)
            assert done.status == "ok", done

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(JOBS)))
    return JOBS / (time.perf_counter() - start)


def fresh_rate() -> float:
    """New interpreters per second, as many at a time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: fresh(), range(JOBS)))
    return JOBS / (time.perf_counter() - start)
