"""The environment workers of a pool on Ray: each order goes to the least loaded one, and on if that is lost."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ...verifiers.errors import EngineLost
from ..event_log import EventLog
from ..orders import Failure, Order, Outcome, facts_of
from .fleet.keeper import Keeper, Limits
from .fleet.room_watch import RoomWatch, members_of
from .fleet.state import Event, State, state_metrics
from .loads import Loads
from .remote import RemoteEngine
from .remote_worker import RemoteWorker, WorkerLost

log = logging.getLogger("lachesis")


class WorkerFleet:
    """Equal workers in actors that Ray restarts. Make it while an event loop runs.

    Args:
        workers: handles on them.
        events: is told which worker made which groups, and of each change of a worker's state.
        blocking: seconds for which the code of an environment may block a worker; it may hold all threads of its
            process for twice as long before its watchdog ends it.
        deadline: seconds that a group may take.
        gone: is told why, if Ray no longer does what it is asked.
        room: says which workers have a place in the cluster; without it, all have.
        serving: returns the engines that workers may send requests to now; without engines, they are not asked.
    """

    TRIES_ALONE = 3
    """How many workers may be lost over an order that goes alone."""
    SUSPECT = 2
    """From so many lost workers on, orders are played apart from others of the kind, so that they cannot harm them."""
    RESTART = 10.0
    """Seconds in which a worker that was lost is asked last."""

    def __init__(
        self,
        workers: Sequence[RemoteWorker],
        events: EventLog | None = None,
        *,
        blocking: float = 30.0,
        deadline: float = 600.0,
        gone: Callable[[str], None] = lambda reason: None,
        room: RoomWatch | None = None,
        serving: Callable[[], Sequence[RemoteEngine | None]] = tuple,
    ) -> None:
        room = room or RoomWatch()
        self._serving = serving
        self._told: list[tuple[str, ...]] = [()] * len(workers)
        self._workers, self._events, self._deadline = workers, events or EventLog(), deadline
        self._load = Loads(len(workers))
        self._down_until = [0.0] * len(workers)
        self._changed = asyncio.Event()
        self._suspected: set[int] = set()  # workers that play suspects
        self._counted = 0
        limits = Limits.of(2 * blocking + 5.0, deadline)
        self.members = members_of("worker", len(workers), self._events, room)
        self._keepers = [
            Keeper(
                worker,
                member,
                f"environment worker {number}",
                limits,
                partial(self._fit, number),
                gone,
                partial(self._note_state, number),
                room,
            )
            for number, (worker, member) in enumerate(zip(workers, self.members, strict=True))
        ]
        for number in range(len(workers)):
            self._note_state(number)
        self._keeping = [asyncio.create_task(keeper.tend()) for keeper in self._keepers]
        self._keeping += [asyncio.create_task(self._tell_on(number)) for number in range(len(workers))]

    async def run(self, orders: Sequence[Order], tries: int = 2, losses: int = 0) -> list[Outcome]:
        """As in ``Pool``.

        Orders that lost ``tries`` workers go on in two halves, one after the other, and so on, so that an order that
        kills its worker fails alone. ``losses`` counts the workers that were lost over them before, without those that
        left a node that was announced to go.
        """
        lost, before = "", losses
        tries = tries if len(orders) > 1 else self.TRIES_ALONE
        while before < losses + tries:
            suspect = before >= self.SUSPECT
            if (chosen := await self._worker_for(suspect)) is None:
                reason = f"no environment worker has come back within {self._deadline:g} s (rollout.deadline)"
                return [Failure(order.index, reason) for order in orders]
            try:
                return await self._once(chosen, orders, suspect)
            except WorkerLost as loss:
                lost = str(loss)
                before += not loss.left
        if len(orders) > 1:
            half, losses = len(orders) // 2, losses + tries
            return [*await self.run(orders[:half], 1, losses), *await self.run(orders[half:], 1, losses)]
        return [Failure(orders[0].index, f"{tries} environment workers in a row were lost over it, the last {lost}")]

    async def pids(self) -> list[int]:
        """Process ids of the workers that have a place."""
        placed = [
            one for one, member in zip(self._workers, self.members, strict=True) if member.state is not State.ABSENT
        ]
        return list(await asyncio.gather(*(worker.pid() for worker in placed)))

    def metrics(self) -> dict[str, float]:
        """The share of workers in each state, and the restarts since the last call."""
        restarts = sum(member.restarts for member in self.members)
        since, self._counted = restarts - self._counted, restarts
        return {**state_metrics(self.members), "rate/worker_restarts": float(since)}

    async def close(self) -> None:
        """End the processes."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for member in self.members:
            member.happened(Event.LEFT, "the run ends")
        await asyncio.gather(*(worker.kill(restart=False) for worker in self._workers), return_exceptions=True)

    async def _fit(self, number: int) -> None:
        try:
            await self._tell(number)
        except EngineLost as lost:  # its keeper finds out what is the matter, and tries again if nothing is
            log.debug("environment worker %d was not told which engines serve: %s", number, lost)
            return
        self._keepers[number].happened(Event.REFITTED, "a worker holds no weights")

    async def _tell(self, number: int) -> None:
        """Tell a worker which engines serve, if that has changed since it was told."""
        engines = self._serving()
        keys = tuple(engine.key if engine else "" for engine in engines)
        if keys != self._told[number]:
            await self._workers[number].use(engines)
            self._told[number] = keys

    async def _tell_on(self, number: int) -> None:
        while True:
            await asyncio.sleep(Keeper.EVERY)
            if self.members[number].state in (State.HEALTHY, State.DRAINING):
                with suppress(EngineLost):  # as above
                    await self._tell(number)

    def _note_state(self, number: int) -> None:
        """Give new groups to others while a worker is not healthy; one that starts for the first time is waited for."""
        member = self.members[number]
        self._down_until[number] = 0.0 if member.state is State.HEALTHY or member.begins else math.inf
        if not member.up:
            self._told[number] = ()  # the next process knows nothing
        self._changed.set()

    async def _worker_for(self, suspect: bool) -> int | None:
        """The worker that plays orders next, after a wait if none can; None if none comes back within the deadline.

        Waiting for other suspects has no deadline of its own, as theirs end.
        """
        end = time.monotonic() + self._deadline
        while True:
            if not suspect and self._down_until[chosen := self._least_loaded()] < math.inf:
                return chosen
            up = [number for number, until in enumerate(self._down_until) if until < math.inf]
            if free := [number for number in up if suspect and number not in self._suspected]:
                return min(free, key=self._load.__getitem__)
            now = time.monotonic()
            if up:
                end = now + self._deadline
            elif now > end:
                return None
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._changed.wait()

    async def _once(self, chosen: int, orders: Sequence[Order], suspect: bool) -> list[Outcome]:
        """The outcomes by one worker; ``WorkerLost`` if it died, hangs or left its node."""
        departures = self.members[chosen].departures
        self._load[chosen] += len(orders)
        if suspect:
            self._suspected.add(chosen)
        try:
            with self._events.span("worker", worker=chosen, **facts_of(orders)):
                return await self._workers[chosen].run(orders)
        except WorkerLost as lost:
            self._down_until[chosen] = max(self._down_until[chosen], time.monotonic() + self.RESTART)
            lost.left = self.members[chosen].departures > departures
            what = "has left its node" if lost.left else str(lost)
            self._events.note("worker_lost", worker=chosen, reason=what)
            log.warning("environment worker %d %s; its groups are made again", chosen, what)
            raise
        finally:
            self._load[chosen] -= len(orders)
            if suspect:
                self._suspected.discard(chosen)
                self._changed.set()

    def _least_loaded(self) -> int:
        return self._load.least(self._down_until, time.monotonic())
