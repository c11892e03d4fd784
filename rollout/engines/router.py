"""Spreads requests over several engines by their route, and goes on to the next engine if one is lost."""

import asyncio
import time
from collections.abc import Iterator, Sequence

from ...verifiers.errors import DeadlineExceeded, EngineLost, EngineStale
from .engine import Completion, Generator, Request

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, taken by any constant step, are spread evenly between whole numbers (Weyl's theorem)."""


class Router:
    """Sends all requests of a route to one engine while it lives.

    Each run of as many routes as there are engines has one for every engine, in an order that changes from run to run:
    in a fixed order, environments that take turns would each keep engines of their own, and the engines of short
    replies would be idle. The choice of engine never changes a request's tokens, since they follow from its own seed.

    Args:
        engines: equal engines.
        deadline: seconds that a request may take, including the wait for a lost engine to come back.
    """

    RETRY = 0.2
    """Seconds between two rounds in which every engine was lost."""
    REST = 5.0
    """Seconds for which an engine that was lost is asked last: to find out again costs each request some seconds."""

    def __init__(self, engines: Sequence[Generator], deadline: float) -> None:
        self._engines = engines
        self._deadline = deadline
        self._resting: dict[int, float] = {}  # until when

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the first engine that answers.

        Raises:
            DeadlineExceeded: no engine answered in time; the message holds the last engine's error.
        """
        last: EngineLost | None = None
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    for number in self._turns(request.route):
                        try:
                            return await self._engines[number].generate(request)
                        except EngineStale as error:  # it says so at once, so it needs no rest
                            last = error
                        except EngineLost as error:
                            last = error
                            self._resting[number] = time.monotonic() + self.REST
                    await asyncio.sleep(self.RETRY)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no engine answered within {self._deadline:g} s (rollout.deadline): {last}"
            ) from last

    def _turns(self, route: int) -> Iterator[int]:
        """The engines in the order in which they are asked: from the route's own on, those that rest last."""
        count, begun = len(self._engines), time.monotonic()
        first = (route + int(route // count * GOLDEN % 1 * count)) % count
        resting = []
        for offset in range(count):
            number = (first + offset) % count
            if self._resting.get(number, 0.0) > begun:
                resting.append(number)
            else:
                yield number
        yield from resting
