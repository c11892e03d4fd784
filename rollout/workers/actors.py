"""The insides of Ray actors: one hosts an engine, the other an environment worker."""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...verifiers.errors import LachesisError
from ..cluster.delivery import enter_files, model_here, named_node
from ..engines.activity import Activity, Interval
from ..engines.engine import Engine, EngineInfo, Generator, Ids, Logprobs, Request
from ..engines.router import Router
from ..engines.weight_transport.transport import Shipment
from ..orders import Order, Outcome
from .answer_desk import Answer, AnswerDesk
from .log_limit import LimitedStream
from .pool import PoolSpec
from .threads import WorkerThreads
from .watchdog import Watchdog


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
        self._desk = AnswerDesk(self._activity)
        self._engine: Engine | LachesisError
        try:
            with named_node():
                enter_files()
                self._engine = replace(spec, model=model_here(spec.model)).build_engine()
        except LachesisError as error:  # raised by the methods: what a constructor raises is only in Ray's logs
            self._engine = error

    @property
    def engine(self) -> Engine:
        """The engine; raises what its constructor raised."""
        if isinstance(self._engine, LachesisError):
            raise self._engine
        return self._engine

    async def exchange(self, caller: str, requests: list[tuple[int, Request]]) -> list[Answer] | None:
        """As in ``AnswerDesk``."""
        return await self._desk.exchange(self.engine, caller, requests)

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
        self._threads: WorkerThreads | LachesisError
        try:
            with named_node():
                enter_files()
                build = replace(spec, model=model_here(spec.model)).build_worker
                self._threads = WorkerThreads(build, router, spec.rollout.threads, watchdog)
        except LachesisError as error:  # raised by the methods: what a constructor raises is only in Ray's logs
            self._threads = error

    async def run(self, orders: list[Order]) -> list[Outcome]:
        """As in ``GroupWorker``; raises what the constructor raised."""
        if isinstance(self._threads, LachesisError):
            raise self._threads
        return await self._threads.run(orders)

    async def pid(self) -> int:
        """The process id, once the worker is built; raises what the constructor raised."""
        if isinstance(self._threads, LachesisError):
            raise self._threads
        return os.getpid()


def use_one_thread() -> None:
    """Let torch compute on ``OMP_NUM_THREADS`` threads, or one.

    Tiny models are faster on one thread, and equal bits need equal numbers of threads.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
