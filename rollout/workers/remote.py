"""Ray: starting it, its actors, and handles on them whose failures are errors of the tree. Only this file knows Ray."""

import asyncio
import itertools
import logging
import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_process_group_cleanup_enabled", "true")  # what a worker leaves behind ends with it
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from ...verifiers.errors import EngineError, EngineLost, LachesisError
from ...verifiers.files import whole_lines
from ..engines.activity import Interval
from ..engines.engine import Completion, EngineInfo, Ids, Logprobs, Request
from ..engines.own_code import OwnCode
from ..engines.weight_transport.transport import Shipment
from ..orders import Order, Outcome
from .actors import EngineActor, WorkerActor
from .answer_desk import Answer
from .leftovers import leave, sign, take_away
from .pool import PoolSpec

OPTIONS: dict[str, Any] = {"max_restarts": -1, "max_task_retries": 0, "num_cpus": 1, "max_concurrency": 10_000}
"""Of every actor: Ray restarts it as often as it dies, and does not repeat the calls that were lost."""


def start_ray(address: str, actors: int) -> bool:
    """Join the cluster at ``address``, or start Ray on this machine with a CPU for each actor.

    Returns:
        False if this process had started Ray before.
    """
    if ray.is_initialized():
        return False
    handler = signal.getsignal(signal.SIGTERM)
    here: dict[str, Any] = {"num_cpus": max(actors, os.cpu_count() or 1), "include_dashboard": False}
    sign()
    begun: Any = ray.init(
        address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if address else here)
    )
    if not address:
        leave(Path(begun.address_info["session_dir"]))
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own prints a dump of the stack, and ends the process at once
    return True


def stop_ray() -> None:
    """Leave the cluster; a Ray that was started on this machine ends."""
    ray.shutdown()
    take_away()


def store(shipment: Shipment) -> Any:
    """Put a shipment into Ray's object store once, for all engines; a reference to it."""
    with OwnCode("rollout.weight_transport: pickling its shipment"):
        return ray.put(shipment)


class WorkerLost(Exception):
    """A worker died or hangs; the message says which of both."""


class RemoteEngine:
    """An ``Engine`` in an actor; the requests of one turn of the event loop travel in one call.

    Args:
        actor: Ray's handle on an ``EngineActor``.
        deadline: seconds that a call may take unless it says otherwise.
        label: what messages call it.
        name: what Ray calls the actor; needed to pickle this handle.
    """

    SILENCE = 60.0
    """Seconds without an answer after which the actor, which answers each call within 10 s, counts as lost."""

    def __init__(self, actor: Any, deadline: float, label: str = "an engine", name: str = "") -> None:
        self._actor, self._deadline, self._label, self._name = actor, deadline, label, name
        self._keys = itertools.count()
        self._outbox: list[tuple[int, Request]] = []
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._caller, self._asking = uuid.uuid4().hex, 0
        self._seen = 0  # bytes of its warnings

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``; ``EngineLost`` if the actor died or did not answer in time."""
        loop = asyncio.get_running_loop()
        if not self._outbox:
            loop.call_soon(self._flush)
        key = next(self._keys)
        self._outbox.append((key, request))
        self._waiting[key] = loop.create_future()
        try:
            return await self._waiting[key]
        finally:
            self._waiting.pop(key, None)

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """As in ``Engine``."""
        logprobs: Logprobs = await self._ask("compute_logprobs", tokens, temperature)
        return logprobs

    async def update(self, shipment: Shipment) -> str:
        """As in ``Engine``; a reference to a shipment in Ray's object store does, too."""
        digest: str = await self._ask("update", shipment)
        return digest

    async def sleep(self) -> None:
        """As in ``Engine``."""
        await self._ask("sleep")

    async def info(self, deadline: float | None = None) -> EngineInfo:
        """As in ``Engine``."""
        info: EngineInfo = await self._ask("info", deadline=deadline)
        return info

    async def activity(self, deadline: float | None = None) -> list[Interval]:
        """When the engine had requests since the last call."""
        intervals: list[Interval] = await self._ask("activity", deadline=deadline)
        return intervals

    async def pid(self) -> int:
        """The process id, once the engine is built."""
        pid: int = await self._ask("pid")
        return pid

    async def close(self) -> None:
        """As in ``Engine``, for at most 5 seconds."""
        await self._ask("close", deadline=5.0)

    def kill(self, restart: bool) -> None:
        """End the process, at once; Ray starts another if ``restart``."""
        ray.kill(self._actor, no_restart=not restart)
        if not restart:
            warnings_of(self._name).unlink(missing_ok=True)

    def warnings(self) -> list[str]:
        """The lines that its process has logged as warnings since the last call; none if it is on another machine."""
        file = warnings_of(self._name)
        lines, self._seen = whole_lines(file, self._seen) if file.exists() else ([], self._seen)
        return [line.decode(errors="replace") for line in lines]

    async def _ask(self, method: str, *arguments: Any, deadline: float | None = None) -> Any:
        try:
            with self._failures(f"did not answer {method} within {deadline or self._deadline:g} s"):
                async with asyncio.timeout(deadline or self._deadline):
                    return await getattr(self._actor, method).remote(*arguments)
        except RayTaskError as error:  # the engine's own error, without Ray's traceback around it
            raise error.cause or error from None

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        call = asyncio.get_running_loop().create_task(self._exchange(batch))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _exchange(self, batch: list[tuple[int, Request]]) -> None:
        """Send a batch, and go on asking for answers while requests wait and no other call asks for them."""
        silence = min(self.SILENCE, self._deadline)
        self._asking += 1
        try:
            with self._failures(f"did not answer within {silence:g} s"):
                answers: list[Answer] | None = []
                while answers is not None:
                    async with asyncio.timeout(silence):
                        answers = await self._actor.exchange.remote(self._caller, batch)
                    batch = []
                    for key, answer in answers or ():
                        self._resolve(key, answer)
                    if not self._waiting or self._asking > 1:
                        return
            lost: EngineError = EngineLost(f"{self._label} no longer has the requests")
        except RayTaskError as error:  # raised by the actor, not by what is between
            lost = EngineError(f"{self._label} failed: {first_line(error.cause or error)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            lost = error if isinstance(error, EngineLost) else EngineError(f"{self._label} failed: {error!r}")
        finally:
            self._asking -= 1
        for key in set(self._waiting) - {key for key, _ in self._outbox}:
            self._resolve(key, lost)

    def _resolve(self, key: int, answer: Completion | Exception) -> None:
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    @classmethod
    def start(cls, spec: PoolSpec, label: str) -> "RemoteEngine":
        """Start an actor that hosts an engine."""
        actor: Any = ray.remote(EngineActor)
        name = f"lachesis-engine-{uuid.uuid4().hex}"
        started = actor.options(**OPTIONS, name=name, num_gpus=spec.rollout.gpus_per_engine)
        handle = started.remote(spec, warnings_of(name))
        return cls(handle, spec.rollout.deadline, label, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name: Ray cannot restart an actor whose arguments hold handles."""
        return _named, (self._name, self._deadline, self._label)

    @contextmanager
    def _failures(self, late: str) -> Iterator[None]:
        """Turn what Ray says of a dead or silent actor into ``EngineLost``; the actor's own errors pass."""
        try:
            yield
        except RayTaskError:
            raise
        except RayError as error:
            raise EngineLost(f"{self._label} was lost: {first_line(error)}") from None
        except TimeoutError:
            raise EngineLost(f"{self._label} {late}") from None


def warnings_of(name: str) -> Path:
    """The file in which the engine actor of that name leaves its warnings for a driver on the same machine."""
    return Path(tempfile.gettempdir()) / f"{name}.log"


def _named(name: str, deadline: float, label: str) -> RemoteEngine:
    return RemoteEngine(ray.get_actor(name), deadline, label, name)


class RemoteWorker:
    """A worker in an actor."""

    RETRY = 0.5
    """Seconds between two looks at a worker that Ray restarts."""
    GRACE = 30.0
    """Seconds beyond a group's own deadline after which its worker counts as hanging."""

    def __init__(self, actor: Any, deadline: float) -> None:
        self._actor, self._deadline = actor, deadline

    @classmethod
    def start(cls, spec: PoolSpec, engines: Sequence[RemoteEngine]) -> "RemoteWorker":
        """Start an actor that hosts a worker, whose requests go to ``engines``."""
        actor: Any = ray.remote(WorkerActor)
        return cls(actor.options(**OPTIONS).remote(spec, engines), spec.rollout.deadline)

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``GroupWorker``.

        Raises:
            WorkerLost: the worker died, or hangs and is replaced.
        """
        try:
            await self._until_up()
            async with asyncio.timeout(self._deadline + self.GRACE):
                outcomes: list[Outcome] = await self._actor.run.remote(list(orders))
            return outcomes
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, LachesisError) else error from None
        except RayActorError as error:
            raise WorkerLost(f"died: {first_line(error)}") from None
        except TimeoutError:  # the groups' own deadline has passed, so the worker hangs
            self.kill(restart=True)
            raise WorkerLost("hangs, and is replaced") from None

    async def pid(self) -> int:
        """The process id, once the worker is built."""
        pid: int = await self._actor.pid.remote()
        return pid

    def kill(self, restart: bool) -> None:
        """End the process, at once; Ray starts another if ``restart``."""
        ray.kill(self._actor, no_restart=not restart)

    async def _until_up(self) -> None:
        """Wait while Ray restarts the worker: a call that meets it then would count as one more loss."""
        async with asyncio.timeout(self._deadline):
            while True:
                try:
                    await self.pid()
                    return
                except RayActorError:
                    await asyncio.sleep(self.RETRY)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type if there is no text."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
