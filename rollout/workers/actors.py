"""The insides of Ray actors: one hosts an engine, the other an environment worker."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ...verifiers.errors import LachesisError
from ...verifiers.processes.garbage import collect_rarely
from ...verifiers.processes.temporary import is_from_here
from ..cluster.delivery import model_here, named_node, settle
from ..engines.activity import Activity, Interval
from ..engines.engine import Engine, EngineInfo, Generator, Ids, Logprobs, Request
from ..engines.router import Router
from ..engines.weight_transport.transport import Shipment
from ..models.lean_import import import_for_engine
from ..orders import Order, Outcome
from .answer_desk import Answer, AnswerDesk
from .fleet.keeper import Pulse
from .log_limit import LimitedStream
from .pool import PoolSpec
from .threads import WorkerThreads
from .watchdog import Watchdog


class LoopClock:
    """Tells other threads for how long an event loop has taken no turn."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: float | None = None

    def attach(self) -> None:
        """Watch the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def stalled(self) -> float:
        """Seconds since the loop was asked for a turn that it has not taken yet."""
        if self._loop is None:
            return 0.0
        if self._asked is None:
            self._asked = time.monotonic()
            self._loop.call_soon_threadsafe(self._turned)
            return 0.0
        return time.monotonic() - self._asked

    def _turned(self) -> None:
        self._asked = None


class PulsedActor:
    """An actor that a keeper can look after; ``pulse`` has a thread of its own, the concurrency group ``pulse``."""

    def __init__(self) -> None:
        self._clock = LoopClock()

    async def hello(self, own_node: Callable[[], str]) -> Pulse:
        """Return who this process is, once the actor is built.

        Args:
            own_node: returns the Ray id of the node that this process is on.
        """
        self._clock.attach()
        return Pulse(os.getpid(), node=own_node())

    async def pulse(self) -> Pulse:
        """Return whether the event loop of the other methods takes turns, and how much it has to do."""
        return Pulse(os.getpid(), self._clock.stalled(), running=self.running, room=self.room)

    @property
    def running(self) -> int:
        """How many requests or orders it has begun and not ended."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """How many requests an engine can hold at the same time; 0 if that is unknown."""
        return 0

    async def pid(self) -> int:
        """The process id, once the actor is built."""
        return os.getpid()


class EngineActor(PulsedActor):
    """Hosts one engine of any kind.

    Args:
        spec: what the engine is built from.
        warnings: a file for the warnings of Lachesis in this process, such as how far vLLM's start has come.
    """

    def __init__(self, spec: PoolSpec, warnings: Path) -> None:
        super().__init__()
        use_one_thread()
        if is_from_here(warnings):  # elsewhere nobody would read it, or remove it
            handler = logging.FileHandler(warnings, delay=True)  # no file without a warning
            handler.setLevel(logging.WARNING)
            logging.getLogger("lachesis").addHandler(handler)
        self._activity = Activity()
        self._desk = AnswerDesk(self._activity)
        self._info = EngineInfo("")
        self._engine: Engine | LachesisError
        try:
            with named_node():
                settle()
                if spec.rollout.engine == "torch":
                    import_for_engine(spec.rollout.device)
                self._engine = replace(spec, model=model_here(spec.model)).build_engine(own_process=True)
        except LachesisError as error:  # raised by the methods: what a constructor raises is only in Ray's logs
            self._engine = error

    async def hello(self, own_node: Callable[[], str]) -> Pulse:
        """As in ``PulsedActor``, with what the engine can hold."""
        with suppress(LachesisError):  # the other methods raise it
            self._info = await self.engine.info()
        return replace(await super().hello(own_node), room=self.room)

    @property
    def engine(self) -> Engine:
        """The engine; raises what its constructor raised."""
        if isinstance(self._engine, LachesisError):
            raise self._engine
        return self._engine

    @property
    def running(self) -> int:
        """Requests."""
        return self._desk.running

    @property
    def room(self) -> int:
        """By its slots, and by its cache for requests of the size that they have lately."""
        return self._info.room(self._desk.request_tokens)

    async def exchange(self, caller: str, requests: list[tuple[int, Request]]) -> list[Answer] | None:
        """As in ``AnswerDesk``."""
        return await self._desk.exchange(self.engine, caller, requests)

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """As in ``Engine``."""
        return await self.engine.compute_logprobs(tokens, temperature)

    async def refit(self, shipment: Shipment, probe: Ids | None) -> tuple[str, Logprobs | None]:
        """Take new weights, and compute the logprobs of ``probe`` with them before any request goes on.

        Returns:
            The digest of what arrived, and the logprobs; None without a probe, or if the digest is wrong.
        """
        digest = await self.engine.update(shipment)
        if probe is None or digest != shipment.digest:
            return digest, None
        return digest, await self.engine.compute_logprobs(probe)

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


class NamedEngine(Generator, Protocol):
    """A handle on an engine that is the same as another one if both have the same ``key``."""

    key: str


class WorkerActor(PulsedActor):
    """Hosts one environment worker, on several threads; it has no engines until ``use`` names them.

    Args:
        spec: what the worker is built from.
    """

    def __init__(self, spec: PoolSpec) -> None:
        super().__init__()
        sys.stdout, sys.stderr = LimitedStream(sys.stdout), LimitedStream(sys.stderr)
        self._running = 0
        self._engines: dict[str, NamedEngine] = {}
        self._router = Router([], spec.rollout.deadline)
        watchdog = Watchdog(spec.rollout.blocking)
        self._threads: WorkerThreads | LachesisError
        try:
            with named_node():
                settle()
                here = spec if spec.tokenizer else replace(spec, model=model_here(spec.model))
                self._threads = WorkerThreads(here.build_worker, self._router, spec.rollout.threads, watchdog)
            collect_rarely()  # looking for garbage took a third of the time of an episode
        except LachesisError as error:  # raised by the methods: what a constructor raises is only in Ray's logs
            self._threads = error

    async def run(self, orders: list[Order]) -> list[Outcome]:
        """As in ``GroupWorker``; raises what the constructor raised."""
        if isinstance(self._threads, LachesisError):
            raise self._threads
        self._running += len(orders)
        try:
            return await self._threads.run(orders)
        finally:
            self._running -= len(orders)

    @property
    def running(self) -> int:
        """Orders."""
        return self._running

    async def use(self, engines: list[NamedEngine | None]) -> None:
        """Send requests to these engines from now on; None stands for one that takes none now."""
        self._engines = {one.key: self._engines.get(one.key, one) for one in engines if one is not None}
        self._router.use([one and self._engines[one.key] for one in engines])

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
