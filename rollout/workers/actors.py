"""The insides of Ray actors: one hosts an engine, the other an environment worker."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ...verifiers.boundary import Boundary
from ...verifiers.errors import EngineError, LachesisError
from ..engines.activity import Activity, Interval
from ..engines.engine import Completion, Engine, EngineInfo, Generator, Ids, Logprobs, Request
from ..engines.router import Router
from ..engines.weight_transport.transport import Shipment
from ..orders import Order, Outcome
from .log_limit import LimitedStream
from .pool import PoolSpec
from .threads import WorkerThreads
from .watchdog import Watchdog

Answer = tuple[int, Completion | EngineError]
"""What one request ended with, under the caller's key."""


class EngineActor:
    """Hosts one engine of any kind.

    Args:
        spec: what the engine is built from.
        warnings: a file for the warnings of Lachesis in this process, such as how far vLLM's start has come.
    """

    def __init__(self, spec: PoolSpec, warnings: Path) -> None:
        use_one_thread()
        handler = logging.FileHandler(warnings, delay=True)  # no file without a warning
        handler.setLevel(logging.WARNING)
        logging.getLogger("lachesis").addHandler(handler)
        self._activity = Activity()
        self._engine: Engine | LachesisError
        try:
            self._engine = spec.build_engine()
        except LachesisError as error:  # raised by the methods: what a constructor raises is only in Ray's logs
            self._engine = error

    @property
    def engine(self) -> Engine:
        """The engine; raises what its constructor raised."""
        if isinstance(self._engine, LachesisError):
            raise self._engine
        return self._engine

    async def generate_many(self, requests: list[tuple[int, Request]]) -> AsyncIterator[list[Answer]]:
        """Continue many prompts; see the function of that name."""
        async for answers in generate_many(self.engine, requests, self._activity):
            yield answers

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """As in ``Engine``."""
        return await self.engine.compute_logprobs(tokens, temperature)

    async def update(self, shipment: Shipment) -> str:
        """As in ``Engine``."""
        return await self.engine.update(shipment)

    async def sleep(self) -> None:
        """As in ``Engine``."""
        await self.engine.sleep()

    async def info(self) -> EngineInfo:
        """As in ``Engine``."""
        return await self.engine.info()

    async def activity(self) -> list[Interval]:
        """When the engine had requests since the last call."""
        return self._activity.take()

    async def close(self) -> None:
        """As in ``Engine``."""
        await self.engine.close()

    async def pid(self) -> int:
        """The process id, once the engine is built."""
        return os.getpid()


class WorkerActor:
    """Hosts one environment worker, on several threads.

    Args:
        spec: what the worker is built from.
        engines: the engines that it sends requests to.
    """

    def __init__(self, spec: PoolSpec, engines: Sequence[Generator]) -> None:
        sys.stdout, sys.stderr = LimitedStream(sys.stdout), LimitedStream(sys.stderr)
        router = Router(engines, spec.rollout.deadline)
        watchdog = Watchdog(spec.rollout.blocking)
        self._threads = WorkerThreads(spec.build_worker, router, spec.rollout.threads, watchdog)

    async def run(self, orders: list[Order]) -> list[Outcome]:
        """As in ``GroupWorker``."""
        return await self._threads.run(orders)

    async def pid(self) -> int:
        """The process id, once the worker is built."""
        return os.getpid()


async def generate_many(
    engine: Engine, requests: Sequence[tuple[int, Request]], activity: Activity
) -> AsyncIterator[list[Answer]]:
    """Continue many prompts on ``engine``; yield the answers as they come, several at a time.

    The error of one request is its own answer. A caller that stops listening ends the other requests.

    Args:
        engine: the engine.
        requests: the prompts, each under the caller's key.
        activity: counts the requests while they run.
    """
    answers: asyncio.Queue[Answer] = asyncio.Queue()

    async def answer(key: int, request: Request) -> None:
        with activity.request(), Boundary(passing=()) as outcome:
            answers.put_nowait((key, await engine.generate(request)))
        if isinstance(outcome.error, EngineError):
            answers.put_nowait((key, outcome.error))
        elif outcome.fault:  # the engine's own bug; its exception might not be picklable
            answers.put_nowait((key, EngineError(f"the engine failed: {outcome.fault}")))

    running = {asyncio.create_task(answer(key, request)) for key, request in requests}
    left = len(running)
    try:
        while left:
            batch = [await answers.get()]
            while not answers.empty():
                batch.append(answers.get_nowait())
            left -= len(batch)
            yield batch
    finally:
        for task in running:
            task.cancel()


def use_one_thread() -> None:
    """Let torch compute on ``OMP_NUM_THREADS`` threads, or one.

    Tiny models are faster on one thread, and equal bits need equal numbers of threads.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
