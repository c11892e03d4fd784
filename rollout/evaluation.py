"""Many tasks attempted with the same weights, for held-out tasks during training and for ``lachesis eval``."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable, Iterator

from ..verifiers.task import Task
from .engines.engine import Sampling
from .orders import EVALUATION, Order, Outcome
from .workers.pool import Pool

CHUNK = 32
"""Most tasks that travel to a worker together."""


async def evaluate(
    pool: Pool,
    environment: int,
    tasks: Iterable[tuple[int, Task]],
    *,
    sampling: Sampling,
    seed: int = 0,
    attempts: int = 1,
    version: int = 0,
    concurrency: int = 512,
) -> AsyncGenerator[Outcome, None]:
    """Yield a group or a failure for each numbered task, as they end.

    Args:
        pool: makes the groups.
        environment: position in the pool's environments.
        tasks: with their numbers, which seed the sampling, so that a task's result does not depend on the others.
        sampling: how replies are drawn.
        seed: of the evaluation.
        attempts: at each task.
        version: the lowest weights version that may serve.
        concurrency: most episodes under way, but at least one task's.
    """
    orders = (
        Order(number, environment, task, attempts, (seed, EVALUATION), sampling, version) for number, task in tasks
    )
    running: set[asyncio.Task[list[Outcome]]] = set()
    size = max(1, min(CHUNK, concurrency // (4 * attempts)))  # several, so that one slow chunk holds up few
    chunks = _chunks(orders, size)
    try:
        while True:
            while (not running or (len(running) + 1) * size * attempts <= concurrency) and (
                chunk := next(chunks, None)
            ):
                running.add(asyncio.create_task(pool.run(chunk)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                for outcome in task.result():
                    yield outcome
    finally:
        for task in running:
            task.cancel()


def _chunks(orders: Iterator[Order], size: int) -> Iterator[list[Order]]:
    while chunk := list(itertools.islice(orders, size)):
        yield chunk
