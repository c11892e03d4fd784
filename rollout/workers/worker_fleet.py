"""The environment workers of a pool on Ray: each order goes to the least loaded one, and on if that is lost."""

import asyncio
import logging
import time
from collections.abc import Sequence

from ..event_log import EventLog
from ..orders import Failure, Order, Outcome, facts_of
from .loads import Loads
from .remote import RemoteWorker, WorkerLost

log = logging.getLogger("lachesis")


class WorkerFleet:
    """Equal workers in actors that Ray restarts.

    Args:
        workers: handles on them.
        events: is told which worker made which groups, and which were lost.
    """

    TRIES_ALONE = 3
    """How many workers may be lost over an order that goes alone."""
    RESTART = 10.0
    """Seconds in which a worker that was lost is asked last."""

    def __init__(self, workers: Sequence[RemoteWorker], events: EventLog | None = None) -> None:
        self._workers, self._events = workers, events or EventLog()
        self._load = Loads(len(workers))
        self._down_until = [0.0] * len(workers)

    async def run(self, orders: Sequence[Order], tries: int = 2) -> list[Outcome]:
        """As in ``Pool``.

        Orders that lost ``tries`` workers go on in two halves, one after the other, and so on, so that an order that
        kills its worker fails alone.
        """
        lost = ""
        tries = tries if len(orders) > 1 else self.TRIES_ALONE
        for _ in range(tries):
            try:
                return await self._once(self._least_loaded(), orders)
            except WorkerLost as loss:
                lost = str(loss)
        if len(orders) > 1:
            half = len(orders) // 2
            return [*await self.run(orders[:half], tries=1), *await self.run(orders[half:], tries=1)]
        return [Failure(orders[0].index, f"{tries} environment workers in a row were lost over it, the last {lost}")]

    async def pids(self) -> list[int]:
        """Process ids of the workers."""
        return list(await asyncio.gather(*(worker.pid() for worker in self._workers)))

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill(restart=False)

    async def _once(self, chosen: int, orders: Sequence[Order]) -> list[Outcome]:
        """The outcomes by one worker; ``WorkerLost`` if it died or hangs."""
        self._load[chosen] += len(orders)
        try:
            with self._events.span("worker", worker=chosen, **facts_of(orders)):
                return await self._workers[chosen].run(orders)
        except WorkerLost as lost:
            self._down_until[chosen] = time.monotonic() + self.RESTART
            self._events.note("worker_lost", worker=chosen, reason=str(lost))
            log.warning("environment worker %d %s; its groups are made again", chosen, lost)
            raise
        finally:
            self._load[chosen] -= len(orders)

    def _least_loaded(self) -> int:
        return self._load.least(self._down_until, time.monotonic())
