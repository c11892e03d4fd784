"""The pool on Ray: engines and environment workers as actors, watched and replaced. The only file that knows Ray."""

import asyncio
import itertools
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ...verifiers.errors import EngineError, EngineLost, InputError, LachesisError
from ..engines.engine import Completion, EngineInfo, Ids, Logprobs, Request
from ..engines.local import LocalEngine
from ..engines.router import Router
from ..engines.transport.transport import Shipment, WeightSender
from ..orders import Failure, Order, Outcome
from .log_limit import Bounded
from .pool import PoolSpec
from .threads import Stages
from .watchdog import Watchdog

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_process_group_cleanup_enabled", "true")  # what a worker leaves behind ends with it
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

log = logging.getLogger("lachesis")

Keyed = tuple[int, Completion | EngineError]


class EngineActor:
    """Hosts one engine."""

    def __init__(self, spec: PoolSpec) -> None:
        _one_thread()
        self._refusal: InputError | None = None
        try:
            self._engine = LocalEngine(spec.build_engine())
        except InputError as error:  # said when asked: an actor whose constructor raises can only be dug out of a log
            self._refusal = error

    async def generate_many(self, requests: list[tuple[int, Request]]) -> AsyncIterator[list[Keyed]]:
        """As in ``LocalEngine``."""
        async for ended in self._engine.generate_many(requests):
            yield ended

    async def compute_logprobs(self, tokens: Ids, temperature: float) -> Logprobs:
        """As in ``Engine``."""
        return await self._engine.compute_logprobs(tokens, temperature)

    async def update(self, shipment: Shipment) -> str:
        """As in ``Engine``."""
        return await self._engine.update(shipment)

    async def info(self) -> EngineInfo:
        """As in ``Engine``."""
        if self._refusal:
            raise self._refusal
        return await self._engine.info()

    async def pid(self) -> int:
        """The process id, once it is built."""
        return os.getpid()


class WorkerActor:
    """Hosts one environment worker."""

    def __init__(self, spec: PoolSpec, engines: list[str]) -> None:
        deadline = spec.rollout.deadline
        remotes = [RemoteEngine(ray.get_actor(name), deadline) for name in engines]
        sys.stdout, sys.stderr = Bounded(sys.stdout), Bounded(sys.stderr)
        watchdog = Watchdog(spec.rollout.blocking)
        self._stages = Stages(spec.build_worker, Router(remotes, deadline), spec.rollout.threads, watchdog)

    async def run(self, orders: list[Order]) -> list[Outcome]:
        """As in ``GroupWorker``."""
        return await self._stages.run(orders)

    async def pid(self) -> int:
        """The process id, once it is built."""
        return os.getpid()


class RemoteEngine:
    """A generator in another process: the requests of one turn of the event loop travel in one call."""

    def __init__(self, actor: Any, deadline: float) -> None:
        self._actor = actor
        self._deadline = deadline
        self._keys = itertools.count()
        self._outbox: list[tuple[int, Request]] = []
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``; ``EngineLost`` when the actor died or did not answer in time."""
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

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        call = asyncio.get_running_loop().create_task(self._exchange(batch))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _exchange(self, batch: list[tuple[int, Request]]) -> None:
        try:
            stream = self._actor.generate_many.remote(batch)
            async with asyncio.timeout(self._deadline):
                async for reference in stream:
                    for key, result in await reference:
                        self._resolve(key, result)
            lost: EngineError = EngineLost("the engine ended a call without answering all of it")
        except RayTaskError as error:  # raised by the engine, not by what is between
            lost = EngineError(f"an engine failed: {_first_line(error.cause or error)}")
        except RayError as error:
            lost = EngineLost(f"an engine was lost: {_first_line(error)}")
        except TimeoutError:
            lost = EngineLost(f"an engine did not answer within {self._deadline:g} s (rollout.deadline)")
        for key, _ in batch:
            self._resolve(key, lost)

    def _resolve(self, key: int, result: Completion | Exception) -> None:
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done():
            return
        if isinstance(result, Exception):
            waiting.set_exception(result)
        else:
            waiting.set_result(result)


class RayPool:
    """Engines and workers as Ray actors; without a cluster to join, Ray is started here.

    Actors that die are restarted by Ray. A restarted engine holds no weights and refuses requests until the supervisor
    has sent it the current ones.
    """

    WATCH = 0.5
    """Seconds between two looks at the engines."""
    PATIENCE = 120.0
    """Seconds after which an engine that answers nothing is killed, and so replaced."""
    TRIES_ALONE = 3
    """How many workers may be lost over an order that goes alone."""
    GRACE = 30.0
    """Seconds beyond a group's own deadline after which its worker counts as hanging."""
    RESTART = 10.0
    """Seconds in which a worker that was lost is asked last."""

    def __init__(self, spec: PoolSpec) -> None:
        self._spec, self._config = spec, spec.rollout
        self._started_ray = not ray.is_initialized()
        engines = self._config.engines if spec.needs_engine else 0
        if self._started_ray:
            _start_ray(self._config.address, engines + self._config.workers)
        engine: Any = ray.remote(EngineActor)
        worker: Any = ray.remote(WorkerActor)
        always = {"max_restarts": -1, "max_task_retries": 0, "num_cpus": 1, "max_concurrency": 10_000}
        gpus = self._config.gpus_per_engine
        names = [f"lachesis-engine-{uuid.uuid4().hex}" for _ in range(engines)]
        self._engines = [engine.options(**always, name=name, num_gpus=gpus).remote(spec) for name in names]
        self._workers = [worker.options(**always).remote(spec, names) for _ in range(self._config.workers)]
        self._load = [0] * len(self._workers)
        self._down_until = [0.0] * len(self._workers)
        self._locks = [asyncio.Lock() for _ in self._engines]
        self._shipment: Shipment | None = None
        self._reference: Any = None
        self._supervisor = asyncio.create_task(self._watch())

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``Pool``: on the least loaded worker; on another one if it dies or hangs.

        Orders whose worker was lost twice go on by halves, one after the other, and halves of halves, so that one that
        kills its worker fails alone.
        """
        return await self._run(orders, tries=2)

    async def _run(self, orders: Sequence[Order], tries: int) -> list[Outcome]:
        lost = ""
        tries = tries if len(orders) > 1 else self.TRIES_ALONE
        for _ in range(tries):
            try:
                return await self._once(self._least_loaded(), orders)
            except _WorkerLost as loss:
                lost = str(loss)
        if len(orders) > 1:
            half = len(orders) // 2
            return [*await self._run(orders[:half], tries=1), *await self._run(orders[half:], tries=1)]
        return [Failure(orders[0].index, f"{tries} environment workers in a row were lost over it, the last {lost}")]

    async def _once(self, chosen: int, orders: Sequence[Order]) -> list[Outcome]:
        """The outcomes by one worker.

        Raises:
            _WorkerLost: it died or hangs.
        """
        self._load[chosen] += len(orders)
        worker = self._workers[chosen]
        try:
            await self._until_up(worker)
            async with asyncio.timeout(self._config.deadline + self.GRACE):
                outcomes: list[Outcome] = await worker.run.remote(list(orders))
            return outcomes
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, LachesisError) else error from None
        except RayActorError as error:
            lost = f"died: {_first_line(error)}"
        except TimeoutError:  # its own deadline has passed, so it hangs
            lost = "hangs, and is replaced"
            ray.kill(worker, no_restart=False)
        finally:
            self._load[chosen] -= len(orders)
        self._down_until[chosen] = time.monotonic() + self.RESTART
        log.warning("environment worker %d %s; its groups are made again", chosen, lost)
        raise _WorkerLost(lost)

    async def _until_up(self, worker: Any) -> None:
        """Wait while Ray restarts a worker: a call that meets it then would count as one more loss."""
        async with asyncio.timeout(self._config.deadline):
            while True:
                try:
                    await worker.pid.remote()
                    return
                except RayActorError:
                    await asyncio.sleep(self.WATCH)

    def _least_loaded(self) -> int:
        now = time.monotonic()
        return min(range(len(self._workers)), key=lambda worker: (self._down_until[worker] > now, self._load[worker]))

    def sender(self) -> WeightSender:
        """As in ``Pool``."""
        return self._spec.open_sender()

    async def publish(self, shipment: Shipment) -> None:
        """As in ``Pool``."""
        self._shipment, self._reference = shipment, ray.put(shipment)
        end = time.monotonic() + self._config.deadline
        while True:
            numbers = range(len(self._engines))
            results = await asyncio.gather(*(self._refit(number) for number in numbers), return_exceptions=True)
            failures = [result for result in results if isinstance(result, BaseException)]
            for failure in failures:
                if not isinstance(failure, EngineLost):
                    raise failure
            if len(failures) < len(results) or not results:
                return
            if time.monotonic() > end:
                raise EngineError(f"no engine took weights version {shipment.version} in time: {failures[0]}")
            await asyncio.sleep(self.WATCH)

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> list[Logprobs]:
        """As in ``Pool``."""
        return await self._ask_all("compute_logprobs", tokens, temperature)

    async def infos(self) -> list[EngineInfo]:
        """As in ``Pool``."""
        return await self._ask_all("info")

    async def engine_pids(self) -> list[int]:
        """Process ids of the engines that live."""
        return await self._ask_all("pid")

    async def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
        return list(await asyncio.gather(*(worker.pid.remote() for worker in self._workers)))

    async def close(self) -> None:
        """As in ``Pool``."""
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        for actor in [*self._workers, *self._engines]:
            ray.kill(actor)
        if self._started_ray:
            ray.shutdown()

    async def _ask_all(self, method: str, *arguments: Any) -> list[Any]:
        """The answers of the engines that hold the current weights; where all are lost, of the first that is back."""
        end = time.monotonic() + self._config.deadline
        while True:
            answers = await self._answers(method, *arguments, last=time.monotonic() > end)
            if answers or not self._engines:
                return answers
            await asyncio.sleep(self.WATCH)

    async def _answers(self, method: str, *arguments: Any, last: bool) -> list[Any]:
        """What every engine answers now; none where all are lost, which is an error the ``last`` time."""
        calls = [self._ask(number, method, *arguments) for number in range(len(self._engines))]
        results = await asyncio.gather(*calls, return_exceptions=True)
        answers = [result for result in results if not isinstance(result, BaseException)]
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, EngineLost):
                raise failure
        if last and failures and not answers:
            raise failures[0]
        return answers

    async def _ask(self, number: int, method: str, *arguments: Any, deadline: float | None = None) -> Any:
        """One call of one engine, with a deadline; a dead or silent engine is ``EngineLost``."""
        try:
            async with asyncio.timeout(deadline or self._config.deadline):
                return await getattr(self._engines[number], method).remote(*arguments)
        except RayTaskError as error:  # the engine's own error, without Ray's traceback around it
            raise error.cause or error from None
        except RayError as error:
            raise EngineLost(f"engine {number} died: {_first_line(error)}") from None
        except TimeoutError:
            raise EngineLost(f"engine {number} did not answer {method} in time") from None

    async def _refit(self, number: int) -> bool:
        """Bring one engine to the current weights; False where it has them already."""
        async with self._locks[number]:
            shipment, reference = self._shipment, self._reference
            if shipment is None or (await self._ask(number, "info")).version >= shipment.version:
                return False
            digest = await self._ask(number, "update", reference)
            if digest != shipment.digest:
                ray.kill(self._engines[number], no_restart=False)  # so that nothing is sampled with damaged weights
            shipment.check_delivery(digest, f"engine {number}")
            return True

    async def _watch(self) -> None:
        """Find engines that died or hang, and give those that came back the current weights."""
        silent_since: dict[int, float] = {}
        while True:
            await asyncio.sleep(self.WATCH)
            for number in range(len(self._engines)):
                try:
                    info = await self._ask(number, "info", deadline=5.0)
                    silent_since.pop(number, None)
                    behind = self._shipment is not None and info.version < self._shipment.version
                    if behind and await self._refit(number) and self._shipment:
                        log.info("engine %d was refitted with weights version %d", number, self._shipment.version)
                except EngineLost as lost:
                    since = silent_since.setdefault(number, time.monotonic())
                    if time.monotonic() - since > self.PATIENCE:
                        log.warning("engine %d is replaced: %s", number, lost)
                        ray.kill(self._engines[number], no_restart=False)
                        silent_since[number] = time.monotonic()
                except Exception as error:  # noqa: BLE001 - who watches must not end: nobody else would refit engines
                    log.warning("engine %d: %s", number, error)


class _WorkerLost(Exception):
    """A worker died or hangs; the message says which and why."""


def _start_ray(address: str, actors: int) -> None:
    """Join the cluster at ``address``, or start one here that has a CPU for each actor."""
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        address="local",
        num_cpus=max(actors, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _one_thread() -> None:
    """Engines of tiny models are faster on one thread, and the same bits need the same number."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
