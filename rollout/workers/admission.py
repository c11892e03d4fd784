"""Lets groups begin in order, as many as the engines can hold requests of."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .fleet.keeper import Keeper
from .fleet.state import Member, State


@dataclass(eq=False)
class _Waiting:
    attempts: int
    begin: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """Holds back the groups that would only wait in an engine's queue, and lets them begin in the order they came in.

    The requests at the engines are counted twice a second; between two looks, each attempt that begins counts as one
    request more, and each that ends as one less. Groups begin while these are fewer than ``SURPLUS`` times what the
    engines can hold. So an engine whose requests end has others at once, other groups begin while episodes wait for
    tools, and the later turns of episodes do not queue behind the first ones of all groups that are admitted.

    Requests that are not of these groups count, too, but as many attempts as the engines can hold begin in any case.
    While no engine serves, the room is that of the last ones that did. If a healthy engine does not say what it can
    hold, nothing is held back. When a group begins never changes its tokens.

    Args:
        engines: what the fleet knows of each engine; its keeper keeps it up to date.

    Attributes:
        playing: attempts of the groups that have begun and not ended.
    """

    SURPLUS = 2.0
    """Requests at an engine for each that it can hold."""

    def __init__(self, engines: Sequence[Member]) -> None:
        self._engines = engines
        self._waiting: deque[_Waiting] = deque()
        self._most = 0, 0
        self._requests = 0  # at the engines, as far as is known
        self._room = 0
        self.playing = 0

    def metrics(self) -> dict[str, float]:
        """The most attempts since the last call that played, and that were held back, at the same time."""
        most, self._most = self._most, (self.playing, self._held())
        return {"rate/attempts_playing": float(most[0]), "rate/attempts_held": float(most[1])}

    @asynccontextmanager
    async def begun(self, attempts: int) -> AsyncIterator[None]:
        """Run the body once there is room for so many attempts; they count until it ends."""
        turn = _Waiting(attempts)
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn.begin.wait()
            yield
        finally:
            if turn.begin.is_set():
                self.playing -= attempts
                self._requests = max(0, self._requests - attempts)
            else:
                self._waiting.remove(turn)
            self._let_in()

    async def look_on(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(Keeper.EVERY)
            self.look()

    def look(self) -> None:
        """Count the requests at the engines, and let groups begin."""
        self._requests = sum(engine.running for engine in self._engines if engine.up)
        self._let_in()

    def _let_in(self) -> None:
        serving = [engine.room for engine in self._engines if engine.state is State.HEALTHY]
        if serving:
            self._room = sum(serving) if all(serving) else 0
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            self.playing += turn.attempts
            self._requests += turn.attempts
            turn.begin.set()
        self._most = max(self._most[0], self.playing), max(self._most[1], self._held())

    def _held(self) -> int:
        """Attempts of the groups that wait."""
        return sum(turn.attempts for turn in self._waiting)

    def _has_room(self) -> bool:
        return not self._room or self.playing < self._room or self._requests < self.SURPLUS * self._room
