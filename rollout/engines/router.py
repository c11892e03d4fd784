"""Spreads requests over several engines by their route, and goes on to the next engine if one is lost."""

import asyncio
from collections.abc import Sequence

from ...verifiers.errors import DeadlineExceeded, EngineLost
from .engine import Completion, Generator, Request


class Router:
    """Sends all requests of a route to one engine while it lives.

    The choice of engine never changes a request's tokens, since they follow from the request's own seed.

    Args:
        engines: equal engines.
        deadline: seconds that a request may take, including the wait for a lost engine to come back.
    """

    RETRY = 0.2
    """Seconds between two rounds in which every engine was lost."""

    def __init__(self, engines: Sequence[Generator], deadline: float) -> None:
        self._engines = engines
        self._deadline = deadline

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the first engine that answers.

        Raises:
            DeadlineExceeded: no engine answered in time; the message holds the last engine's error.
        """
        last: EngineLost | None = None
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    for offset in range(len(self._engines)):
                        engine = self._engines[(request.route + offset) % len(self._engines)]
                        try:
                            return await engine.generate(request)
                        except EngineLost as error:
                            last = error
                    await asyncio.sleep(self.RETRY)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no engine answered within {self._deadline:g} s (rollout.deadline): {last}"
            ) from last
