"""Threads on which groups are played: what blocks on one holds up neither the others nor the talk with the engines."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

from ..engines.engine import Completion, Generator, Request
from ..orders import Failure, Order, Outcome
from .watchdog import HeldUp, Watchdog
from .worker import GroupWorker

log = logging.getLogger("lachesis")

Build = Callable[[Generator], GroupWorker]


class Stages:
    """Several stages around one engine; each group is played on the one that has fewest.

    Args:
        build: makes a worker around a generator; called on every stage's own thread.
        engine: belongs to the event loop that calls ``run``.
        number: of stages.
        watchdog: sees to it that each takes its turns.
    """

    def __init__(self, build: Build, engine: Generator, number: int, watchdog: Watchdog) -> None:
        self._crossing = Crossing(engine)
        self._stages = [Stage(build, self._crossing, watchdog) for _ in range(number)]

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``GroupWorker``."""
        self._crossing.home = asyncio.get_running_loop()
        return await asyncio.gather(*(self._quietest().run(order) for order in orders))

    def close(self) -> None:
        """End what is played and the threads; one that is blocked is left behind."""
        for stage in self._stages:
            stage.close()

    def _quietest(self) -> "Stage":
        return min(self._stages, key=lambda stage: stage.load)


class Stage:
    """A thread with an event loop and a worker of its own, so that an environment object sees one thread.

    Raises:
        BaseException: whatever ``build`` raises.
    """

    def __init__(self, build: Build, engine: Generator, watchdog: Watchdog) -> None:
        self.load = 0
        self._watchdog = watchdog
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._turn, name="stage", daemon=True)
        self._thread.start()
        try:
            self._worker = asyncio.run_coroutine_threadsafe(self._open(build, engine), self._loop).result()
        except BaseException:
            self.close()
            raise

    def run(self, order: Order) -> asyncio.Future[Outcome]:
        """Begin to play a group here; from another event loop."""
        self.load += 1
        outcome = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._play(order), self._loop))
        outcome.add_done_callback(self._done)
        return outcome

    def close(self, seconds: float = 10.0) -> None:
        """End what is played and the thread, or leave it behind where it is blocked for so long."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(seconds)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._closed = True
        self._loop.stop()

    def _done(self, _: asyncio.Future[Outcome]) -> None:
        self.load -= 1

    async def _open(self, build: Build, engine: Generator) -> GroupWorker:
        worker = build(engine)
        self._watchdog.watch()
        return worker

    async def _play(self, order: Order) -> Outcome:
        try:
            [outcome] = await self._worker.run([order])
        except HeldUp as late:  # it came when what it was meant for had ended
            return Failure(order.index, f"HeldUp: {late}")
        return outcome

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closed:
            try:
                self._loop.run_forever()
            except BaseException as stray:  # noqa: BLE001 - an interruption after what it was meant for had ended
                log.warning("a stage goes on after %r", stray)


class Crossing:
    """A generator for other threads' event loops: asked on its own.

    Attributes:
        home: the event loop that the generator belongs to.
    """

    home: asyncio.AbstractEventLoop

    def __init__(self, engine: Generator) -> None:
        self._engine = engine

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._engine.generate(request), self.home))
