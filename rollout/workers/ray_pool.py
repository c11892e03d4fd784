"""The pool on Ray: engines and environment workers as actors, on a cluster or on this machine."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from ..cluster.local_ray import leave_ray, look_at_ray
from ..cluster.session import Session
from ..engines.activity import Interval
from ..engines.engine import EngineInfo, Generator, Ids, Logprobs
from ..engines.probe import Probe
from ..engines.weight_transport.transport import Shipment, WeightSender
from ..event_log import EventLog
from ..orders import Order, Outcome
from .admission import Admission
from .engine_fleet import EngineFleet
from .fleet.ray_health import RayHealth
from .fleet.room_watch import RoomWatch
from .pool import PoolSpec
from .remote import Berth, RemoteEngine, store
from .remote_worker import RemoteWorker
from .worker_fleet import WorkerFleet


class RayPool:
    """Engines and workers as Ray actors; without a cluster to join, Ray is started on this machine.

    Args:
        spec: what they are built from.
        events: is told which worker made which groups, and what was lost and replaced.
    """

    def __init__(self, spec: PoolSpec, events: EventLog | None = None) -> None:
        self._spec = spec
        config = spec.rollout
        self._session = Session(spec.cluster, spec.actors)
        engines = [
            RemoteEngine.start(spec, f"engine {place}", self._berth("engines", place, config.gpus_per_engine))
            for place in range(spec.actors.engines)
        ]
        played = spec.for_workers()
        workers = [
            RemoteWorker.start(played, self._berth("workers", place, spec.cluster.workers.gpus))
            for place in range(config.workers)
        ]
        room = RoomWatch(self._session.placement.look)
        self._looking = asyncio.create_task(room.look_on())
        self._ray = RayHealth(lambda: [*self._engines.members, *self._workers.members], look_at_ray, leave_ray)
        self._engines = EngineFleet(engines, config.deadline, store, events, self._ray.gone, room)
        self._admission = Admission(self._engines.members)
        self._admitting = asyncio.create_task(self._admission.look_on())
        self._workers = WorkerFleet(
            workers,
            events,
            blocking=config.blocking,
            deadline=config.deadline,
            gone=self._ray.gone,
            room=room,
            serving=self._engines.serving,
        )

    def _berth(self, role: str, number: int, gpus: float) -> Berth:
        placement = self._session.placement
        return Berth(partial(placement.seat, role, number, gpus), partial(placement.move, role, number))

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``Pool``; a call waits while the engines have no room for its groups."""
        async with self._admission.begun(sum(order.size for order in orders)):
            return await self._ray.guard(self._workers.run(orders))

    def generator(self) -> Generator:
        """As in ``Pool``."""
        return self._engines.router

    def sender(self) -> WeightSender:
        """As in ``Pool``."""
        return self._spec.open_sender()

    async def publish(self, shipment: Shipment, probe: Probe | None = None) -> float:
        """As in ``Pool``."""
        return await self._ray.guard(self._engines.publish(shipment, probe))

    async def sleep(self) -> None:
        """As in ``Pool``."""
        await self._ray.guard(self._engines.sleep())

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> list[Logprobs]:
        """As in ``Pool``."""
        return await self._ray.guard(self._engines.compute_logprobs(tokens, temperature))

    async def infos(self) -> list[EngineInfo]:
        """As in ``Pool``."""
        return await self._ray.guard(self._engines.infos())

    async def activity(self) -> list[list[Interval]]:
        """As in ``Pool``."""
        return await self._engines.activity()

    def metrics(self) -> dict[str, float]:
        """As in ``Pool``."""
        return {**self._engines.metrics(), **self._workers.metrics(), **self._admission.metrics()}

    async def engine_pids(self) -> list[int]:
        """Process ids of the engines that live."""
        return await self._engines.pids()

    async def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
        return await self._workers.pids()

    async def close(self) -> None:
        """As in ``Pool``."""
        self._looking.cancel()
        self._admitting.cancel()
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            closing.push_async_callback(self._ray.close, self._session.close)
            closing.push_async_callback(self._engines.close)
            closing.push_async_callback(self._workers.close)
