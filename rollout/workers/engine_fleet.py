"""The engines of a pool on Ray: watched, replaced when they die or hang, and kept on the current weights."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ...verifiers.errors import EngineError, EngineLost
from ..engines.activity import Interval
from ..engines.engine import EngineInfo, Ids, Logprobs
from ..engines.probe import Probe
from ..engines.router import Router
from ..engines.weight_transport.transport import Shipment
from ..event_log import EventLog
from .fleet.keeper import Keeper, Limits
from .fleet.off_loop import off_loop
from .fleet.patience import Patience
from .fleet.room_watch import RoomWatch, members_of
from .fleet.seat import Seat
from .fleet.state import Event, Member, State, state_metrics
from .remote import RemoteEngine

log = logging.getLogger("lachesis")

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights that engines need to serve: the shipment, its reference in the object store, and their probe."""

    shipment: Shipment
    stored: Any
    probe: Probe | None


class EngineFleet:
    """Equal engines in actors that Ray restarts.

    A restarted engine has no weights, and refuses requests until it was refitted: sent the current weights, with the
    right digest and the right logprobs of the probe. Make the fleet while an event loop runs.

    Args:
        engines: handles on them; there may be none.
        deadline: seconds that a call or a weight update may take.
        store: puts a shipment where the engines can reach it; what it returns is passed to their ``refit``.
        events: is told of each change of an engine's state.
        gone: is told why, if Ray no longer does what it is asked.
        room: says which engines have a place in the cluster; without it, all have.

    Attributes:
        router: sends requests of this process to the engines that serve.
    """

    SILENCE = 15.0
    """Seconds without an answer after which an engine's process is killed, if the deadline is long enough."""

    def __init__(
        self,
        engines: Sequence[RemoteEngine],
        deadline: float,
        store: Callable[[Shipment], Any],
        events: EventLog | None = None,
        gone: Callable[[str], None] = lambda reason: None,
        room: RoomWatch | None = None,
    ) -> None:
        self._deadline, self._store = deadline, store
        room = room or RoomWatch()
        self._weights: Weights | None = None
        self._publications = Patience(floor=10.0, ceiling=deadline, factor=3)
        self._changed = asyncio.Event()
        self._counted = 0
        self._told: dict[int, str] = {}
        self.router = Router([], deadline)
        self._limits = Limits.of(min(self.SILENCE, max(5.0, deadline / 4)), deadline)
        members = members_of("engine", len(engines), events or EventLog(), room)
        self._seats = [Seat(engine, member) for engine, member in zip(engines, members, strict=True)]
        for number, seat in enumerate(self._seats):
            fit = partial(self._fit, seat)
            seat.keeper = Keeper(
                seat.engine, seat.member, f"engine {number}", self._limits, fit, gone, self._note_change, room
            )
        self._keeping = [asyncio.create_task(seat.keeper.tend()) for seat in self._seats]
        self._keeping.append(asyncio.create_task(self._pass_warnings_on()))

    @property
    def members(self) -> list[Member]:
        """The state of each engine."""
        return [seat.member for seat in self._seats]

    def _note_change(self) -> None:
        self.router.use(self.serving())
        self._changed.set()

    def serving(self) -> list[RemoteEngine | None]:
        """The engines that requests may go to now, each in its place."""
        return [seat.engine if seat.member.working else None for seat in self._seats]

    async def publish(self, shipment: Shipment, probe: Probe | None = None) -> float:
        """As in ``Pool``."""
        if not self._seats:
            return 0.0
        begun = time.monotonic()
        try:
            stored = await off_loop(lambda: self._store(shipment), self._deadline)
        except TimeoutError:
            raise EngineError(
                f"Ray's object store did not take weights version {shipment.version} within {self._deadline:g} s "
                "(rollout.deadline); see whether memory and /dev/shm are full, and continue with --resume"
            ) from None
        self._weights = Weights(shipment, stored, probe)
        starting = any(seat.member.begins for seat in self._seats)
        for seat in self._seats:
            seat.error = None
            if seat.member.up:
                self._begin_refit(seat)
        late = await self._until_taken(shipment.version, begun)
        for seat in late:
            self._excuse(seat, time.monotonic() - begun)
        if not late and not starting:
            self._publications.note(time.monotonic() - begun)
        return max((seat.gap for seat in self._seats if seat.version == shipment.version), default=0.0)

    async def _until_taken(self, version: int, begun: float) -> list[Seat]:
        """Wait until the engines hold ``version``; return those that are late, once others hold it.

        Raises:
            EngineError: an engine refused the weights, or none took them in time.
        """
        patience = self._publications.seconds
        while True:
            self._changed.clear()
            for seat in self._seats:
                if seat.error is not None:
                    raise seat.error
            taken = [seat for seat in self._seats if seat.version >= version]
            late = [seat for seat in self._seats if seat.version < version and seat.awaited]
            waited = time.monotonic() - begun
            if taken and (not late or waited > patience):
                return late
            if waited > self._patience:
                states = "; ".join(seat.described for seat in self._seats)
                raise EngineError(
                    f"no engine took weights version {version} within {waited:.0f} s (rollout.deadline): {states}"
                )
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._changed.wait()

    def _excuse(self, seat: Seat, seconds: float) -> None:
        """Go on without an engine that is late with the current weights."""
        assert self._weights is not None
        reason = f"it has not taken weights version {self._weights.shipment.version} within {seconds:.1f} s"
        seat.keeper.happened(Event.LATE, reason)
        log.warning("engine %d: %s; it serves again when it has them", seat.member.number, reason)

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> list[Logprobs]:
        """As in ``Pool``."""
        return await self._ask_all(lambda engine: engine.compute_logprobs(tokens, temperature))

    async def sleep(self) -> None:
        """As in ``Pool``."""
        await self._ask_all(lambda engine: engine.sleep())

    async def infos(self) -> list[EngineInfo]:
        """As in ``Pool``."""
        return await self._ask_all(lambda engine: engine.info())

    async def activity(self) -> list[list[Interval]]:
        """As in ``Pool``."""
        return await asyncio.gather(*map(self._activity_of, self._seats))

    async def pids(self) -> list[int]:
        """Process ids of the engines that live."""
        return await self._ask_all(lambda engine: engine.pid())

    def metrics(self) -> dict[str, float]:
        """The share of engines in each state, and the restarts since the last call."""
        restarts = sum(member.restarts for member in self.members)
        since, self._counted = restarts - self._counted, restarts
        return {**state_metrics(self.members), "rate/engine_restarts": float(since)} if self._seats else {}

    async def close(self) -> None:
        """End the engines and their processes."""
        tasks = [*self._keeping, *(seat.refitting for seat in self._seats if seat.refitting)]
        for task in tasks:
            task.cancel()
        reachable = [seat.engine for seat in self._seats if seat.member.up]
        await asyncio.gather(*tasks, *(engine.close() for engine in reachable), return_exceptions=True)
        for seat in self._seats:
            seat.member.happened(Event.LEFT, "the run ends")
        await asyncio.gather(*(seat.engine.kill(restart=False) for seat in self._seats), return_exceptions=True)

    async def _ask_all(self, ask: Callable[[RemoteEngine], Awaitable[Answer]]) -> list[Answer]:
        """The answers of the engines that live; if all are lost, of the first that is back.

        Raises:
            EngineLost: none was back in time.
        """
        begun = time.monotonic()
        while self._seats:
            last = time.monotonic() - begun > self._patience
            placed = [seat for seat in self._seats if seat.member.state is not State.ABSENT]
            asked = [seat.engine for seat in placed if seat.awaited] or [seat.engine for seat in placed]
            answers, lost = _sorted(await asyncio.gather(*map(ask, asked), return_exceptions=True))
            if answers:
                return answers
            if last:
                raise lost[0] if lost else EngineLost("the cluster has room for no engine")
            await asyncio.sleep(Keeper.EVERY)
        return []

    @property
    def _patience(self) -> float:
        """Seconds to wait for the first engine: a call's deadline, and the time of a start while none is up."""
        up = any(seat.member.up for seat in self._seats)
        return self._deadline if up else max(self._deadline, self._limits.start.seconds)

    async def _activity_of(self, seat: Seat) -> list[Interval]:
        if not seat.member.up:
            return []
        try:
            return await seat.engine.activity(deadline=5.0)
        except EngineError:
            return []

    async def _fit(self, seat: Seat) -> None:
        """Bring a stale engine to the current weights, beside the looks of its keeper."""
        if self._weights is None:
            if (await seat.engine.info(deadline=self._limits.pulse.seconds)).version >= 0:
                seat.keeper.happened(Event.REFITTED, "it holds the weights of the model's files, as nobody sent others")
        elif seat.version == (version := self._weights.shipment.version):
            seat.keeper.happened(Event.REFITTED, f"it is the process that was given weights version {version}")
        else:
            self._begin_refit(seat)

    def _begin_refit(self, seat: Seat) -> None:
        if seat.refitting is None or seat.refitting.done():
            seat.refitting = asyncio.create_task(self._refit(seat))

    async def _refit(self, seat: Seat) -> None:
        """Send an engine the current weights, and newer ones that come meanwhile, and check that they took effect."""
        while (weights := self._weights) is not None:
            starts, version = seat.member.starts, weights.shipment.version
            begun = time.monotonic()
            try:
                gap = await self._send(seat, weights)
            except EngineLost as lost:  # its keeper finds out what is the matter, and tries again if nothing is
                seat.loss = str(lost)
                seat.keeper.happened(Event.LATE, seat.loss)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the publication ends with it
                if self._weights is not weights:
                    continue  # nobody waits for these any more
                self._note_error(seat, error)
                return
            if starts != seat.member.starts:
                return  # this was the process before
            self._limits.stalled.note(time.monotonic() - begun)
            seat.holds(version, starts, gap)
            seat.loss = ""
            seat.keeper.happened(Event.REFITTED, f"it holds weights version {version}")
            self._changed.set()
            if self._weights is weights:
                return

    async def _send(self, seat: Seat, weights: Weights) -> float:
        """Send an engine these weights; return the gap of its probe. An engine with damaged ones is replaced."""
        shipment, probe = weights.shipment, weights.probe
        digest, logprobs = await seat.engine.refit(weights.stored, probe.tokens if probe else None)
        try:
            shipment.check_delivery(digest, f"engine {seat.member.number}")
            return probe.check(logprobs, shipment.version) if probe and logprobs is not None else 0.0
        except EngineError:  # nothing may be sampled with such weights
            await seat.keeper.replace("holds weights that are not the trainer's")
            raise

    async def _pass_warnings_on(self) -> None:
        """Log what engines warn of, also while they start."""
        while True:
            for seat in self._seats:
                for line in seat.engine.warnings():
                    log.warning("engine %d: %s", seat.member.number, line)
            await asyncio.sleep(Keeper.EVERY)

    def _note_error(self, seat: Seat, error: Exception) -> None:
        """Let a publication that waits fail; the log is told of each error once."""
        seat.error = error
        self._changed.set()
        if self._told.get(seat.member.number) != str(error):
            self._told[seat.member.number] = str(error)
            log.warning("engine %d: %s", seat.member.number, error)


def _sorted(results: Sequence[Answer | BaseException]) -> tuple[list[Answer], list[EngineLost]]:
    """The answers, and the losses; any other error is raised."""
    answers: list[Answer] = []
    lost: list[EngineLost] = []
    for result in results:
        if isinstance(result, EngineLost):
            lost.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            answers.append(result)
    return answers, lost
