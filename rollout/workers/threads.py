"""Threads that play groups, so that an environment that blocks its thread delays no other group and no engine call."""

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


class WorkerThreads:
    """Several threads with a worker each; a group is played on the thread that has the fewest.

    Args:
        build: makes a worker around a generator; called on each of the threads.
        engine: belongs to the event loop that calls ``run``.
        number: of threads.
        watchdog: interrupts code that blocks its thread for too long.
    """

    def __init__(self, build: Build, engine: Generator, number: int, watchdog: Watchdog) -> None:
        self._generator = CrossThreadGenerator(engine)
        self._threads = [WorkerThread(build, self._generator, watchdog) for _ in range(number)]

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``GroupWorker``."""
        self._generator.home = asyncio.get_running_loop()
        return await asyncio.gather(*(self._least_loaded().run(order) for order in orders))

    def close(self) -> None:
        """Cancel the groups and end the threads; a thread that is blocked is left behind."""
        for thread in self._threads:
            thread.close()

    def _least_loaded(self) -> "WorkerThread":
        return min(self._threads, key=lambda thread: thread.load)


class WorkerThread:
    """A thread with its own event loop and worker, so that each environment object is used by one thread only.

    Raises:
        BaseException: whatever ``build`` raises.
    """

    def __init__(self, build: Build, engine: Generator, watchdog: Watchdog) -> None:
        self.load = 0
        self._watchdog = watchdog
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._worker: GroupWorker | None = None
        self._thread = threading.Thread(target=self._run_loop, name="worker thread", daemon=True)
        self._thread.start()
        try:
            self._worker = asyncio.run_coroutine_threadsafe(self._open(build, engine), self._loop).result()
        except BaseException:
            self.close()
            raise

    def run(self, order: Order) -> asyncio.Future[Outcome]:
        """Start to play a group on this thread; called from another event loop."""
        self.load += 1
        outcome = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._play(order), self._loop))
        outcome.add_done_callback(self._done)
        return outcome

    def close(self, seconds: float = 10.0) -> None:
        """Cancel the groups and end the thread; leave it behind if it stays blocked for so many seconds."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(seconds)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._worker is not None:
            await self._worker.close()
        self._closed = True
        self._loop.stop()

    def _done(self, _: asyncio.Future[Outcome]) -> None:
        self.load -= 1

    async def _open(self, build: Build, engine: Generator) -> GroupWorker:
        worker = build(engine)
        self._watchdog.watch()
        return worker

    async def _play(self, order: Order) -> Outcome:
        assert self._worker is not None
        try:
            [outcome] = await self._worker.run([order])
        except HeldUp as late:  # raised after the code that it was meant for had ended
            return Failure(order.index, f"HeldUp: {late}")
        return outcome

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closed:
            try:
                self._loop.run_forever()
            except BaseException as stray:  # noqa: BLE001 - an interrupt after the code that it was meant for had ended
                log.warning("a worker thread goes on after %r", stray)


class CrossThreadGenerator:
    """Passes requests from other threads to a generator on the event loop that it belongs to.

    Attributes:
        home: that event loop.
    """

    home: asyncio.AbstractEventLoop

    def __init__(self, engine: Generator) -> None:
        self._engine = engine

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._engine.generate(request), self.home))
