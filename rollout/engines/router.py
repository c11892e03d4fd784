"""Spreads requests over several engines by their route, and goes on to the next engine if one is lost."""

import asyncio
import time
from collections.abc import Sequence

from ...verifiers.errors import DeadlineExceeded, EngineLost, EngineStale
from .engine import Completion, Generator, Request

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, taken by any constant step, are spread evenly between whole numbers (Weyl's theorem)."""


class Router:
    """Sends all requests of a route to one engine while it lives.

    Each round of as many routes as there are engines has one for every engine, in an order that changes from round to
    round: in a fixed order, environments that take turns would each keep engines of their own, and the engines of short
    replies would be idle. The choice of engine never changes a request's tokens, since they follow from its own seed.

    Args:
        engines: equal engines; None in the place of one that is not there now.
        deadline: seconds that a request may take, including the wait for a lost engine to come back.
    """

    RETRY = 0.2
    """Seconds between two rounds in which every engine was lost."""
    REST = 5.0
    """Seconds for which an engine that was lost is asked last: to find out again costs each request some seconds."""

    def __init__(self, engines: Sequence[Generator | None], deadline: float) -> None:
        self._engines = engines
        self._deadline = deadline
        self._resting: dict[int, float] = {}  # until when

    def use(self, engines: Sequence[Generator | None]) -> None:
        """Send requests to these engines from now on; those under way stay where they are."""
        self._engines = engines

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the first engine that answers.

        Raises:
            DeadlineExceeded: no engine answered in time; the message holds the last engine's error.
        """
        last: EngineLost | None = None
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    for number, engine in self._turns(request.route):
                        try:
                            return await engine.generate(request)
                        except EngineStale as error:  # it says so at once, so it needs no rest
                            last = error
                        except EngineLost as error:
                            last = error
                            self._resting[number] = time.monotonic() + self.REST
                    await asyncio.sleep(self.RETRY)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no engine answered within {self._deadline:g} s (rollout.deadline): {last or 'none is there'}"
            ) from last

    def _turns(self, route: int) -> list[tuple[int, Generator]]:
        """The engines in the order in which they are asked: from the route's own on, those that rest last.

        The routes of an engine that is not there are spread over all others.
        """
        there = [(number, engine) for number, engine in enumerate(self._engines) if engine is not None]
        if not there:
            return []
        count = len(self._engines)
        own = (route + int(route // count * GOLDEN % 1 * count)) % count
        numbers = [number for number, _ in there]
        first = numbers.index(own) if own in numbers else route // count % len(there)
        now = time.monotonic()
        turns = there[first:] + there[:first]
        return sorted(turns, key=lambda turn: self._resting.get(turn[0], 0.0) > now)
