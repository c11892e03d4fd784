"""The engines of a pool on Ray: watched, replaced when they die or hang, and kept on the current weights."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ...verifiers.errors import EngineError, EngineLost
from ..engines.activity import Interval
from ..engines.engine import EngineInfo, Ids, Logprobs
from ..engines.weight_transport.transport import Shipment
from ..event_log import EventLog
from .remote import RemoteEngine

log = logging.getLogger("lachesis")

Answer = TypeVar("Answer")


class EngineFleet:
    """Equal engines in actors that Ray restarts.

    A restarted engine has no weights, and refuses requests until the supervisor has sent it the current ones. Make it
    while an event loop runs.

    Args:
        engines: handles on them; there may be none.
        deadline: seconds that a call or a weight update may take.
        store: puts a shipment where the engines can reach it; what it returns is passed to their ``update``.
        events: is told which engines were silent, replaced, and given the weights again.
    """

    WATCH = 0.5
    """Seconds between two looks at the engines."""
    PATIENCE = 120.0
    """Seconds after which an engine that answers nothing is killed, and so replaced."""

    def __init__(
        self,
        engines: Sequence[RemoteEngine],
        deadline: float,
        store: Callable[[Shipment], Any],
        events: EventLog | None = None,
    ) -> None:
        self._engines, self._deadline, self._store = engines, deadline, store
        self._events = events or EventLog()
        self._locks = [asyncio.Lock() for _ in engines]
        self._shipment: Shipment | None = None
        self._stored: Any = None
        self._supervisor = asyncio.create_task(self._watch())

    async def publish(self, shipment: Shipment) -> None:
        """As in ``Pool``."""
        self._shipment, self._stored = shipment, self._store(shipment)
        end = time.monotonic() + self._deadline
        while self._engines:
            numbers = range(len(self._engines))
            taken, lost = _sorted(await asyncio.gather(*map(self._refit, numbers), return_exceptions=True))
            if taken:
                return
            if time.monotonic() > end:
                raise EngineError(f"no engine took weights version {shipment.version} in time: {lost[0]}")
            await asyncio.sleep(self.WATCH)

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
        asked = (engine.activity(deadline=5.0) for engine in self._engines)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [[] if isinstance(answer, BaseException) else answer for answer in answers]

    async def pids(self) -> list[int]:
        """Process ids of the engines that live."""
        return await self._ask_all(lambda engine: engine.pid())

    async def close(self) -> None:
        """End the engines and their processes."""
        self._supervisor.cancel()
        closing = (engine.close() for engine in self._engines)
        await asyncio.gather(self._supervisor, *closing, return_exceptions=True)
        for engine in self._engines:
            engine.kill(restart=False)

    async def _ask_all(self, ask: Callable[[RemoteEngine], Awaitable[Answer]]) -> list[Answer]:
        """The answers of the engines that live; if all are lost, of the first that is back.

        Raises:
            EngineLost: none was back in time.
        """
        end = time.monotonic() + self._deadline
        while self._engines:
            last = time.monotonic() > end
            answers, lost = _sorted(await asyncio.gather(*map(ask, self._engines), return_exceptions=True))
            if answers:
                return answers
            if last:
                raise lost[0]
            await asyncio.sleep(self.WATCH)
        return []

    async def _refit(self, number: int) -> bool:
        """Bring one engine to the current weights; False if it has them already."""
        engine = self._engines[number]
        async with self._locks[number]:
            shipment, stored = self._shipment, self._stored
            if shipment is None or (await engine.info()).version >= shipment.version:
                return False
            digest = await engine.update(stored)
            if digest != shipment.digest:
                engine.kill(restart=True)  # so that nothing is sampled with damaged weights
            shipment.check_delivery(digest, f"engine {number}")
            return True

    async def _watch(self) -> None:
        """Replace engines that hang, and give those that came back the current weights."""
        silent_since: dict[int, float] = {}
        while True:
            await asyncio.sleep(self.WATCH)
            for number, engine in enumerate(self._engines):
                for line in engine.warnings():
                    log.warning("engine %d: %s", number, line)
                try:
                    info = await engine.info(deadline=5.0)
                    silent_since.pop(number, None)
                    behind = self._shipment is not None and info.version < self._shipment.version
                    if behind and await self._refit(number) and self._shipment:
                        self._events.note("engine_refitted", engine=number, version=self._shipment.version)
                        log.info("engine %d was given weights version %d again", number, self._shipment.version)
                except EngineLost as lost:
                    if number not in silent_since:
                        self._events.note("engine_lost", engine=number, reason=str(lost))
                    since = silent_since.setdefault(number, time.monotonic())
                    if time.monotonic() - since > self.PATIENCE:
                        self._events.note("engine_replaced", engine=number)
                        log.warning("engine %d is replaced: %s", number, lost)
                        engine.kill(restart=True)
                        silent_since[number] = time.monotonic()
                except Exception as error:  # noqa: BLE001 - if the watch ended, nobody else would refit engines
                    log.warning("engine %d: %s", number, error)


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
