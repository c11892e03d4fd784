"""Lets groups begin in order, as many as the engines can hold requests of."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .fleet.keeper import Keeper
from .fleet.state import Member


@dataclass(eq=False)
class _Waiting:
    attempts: int
    begin: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """Holds back the groups that would only wait in an engine's queue, and lets them begin in the order they came in.

    Attempts that play have about as many requests at the engines as there was a request for each attempt lately:
    fewer if episodes wait for tools, more if agents work side by side. Another group begins while that is less than
    ``SURPLUS`` times what the engines that work can hold. So an engine whose requests end has others at once, and the
    later turns of episodes that play do not queue behind the first ones of all groups of the next steps. If no engine
    says what it can hold, nothing is held back. When a group begins never changes its tokens.

    Args:
        engines: what the fleet knows of each engine; its keeper keeps it up to date.

    Attributes:
        playing: attempts of the groups that have begun and not ended.
    """

    SURPLUS = 2.0
    """Requests at an engine for each that it can hold."""
    WEIGHT = 0.2
    """Of a new look at the engines in the mean of requests for each attempt."""
    LEAST = 0.02
    """Lower bound of that mean: episodes that wait now may ask all at once later."""

    def __init__(self, engines: Sequence[Member]) -> None:
        self._engines = engines
        self._waiting: deque[_Waiting] = deque()
        self._each = 1.0  # requests for each attempt that plays
        self._most = 0, 0
        self._held = 0  # attempts that wait
        self.playing = 0

    def metrics(self) -> dict[str, float]:
        """The most attempts since the last call that played, and that were held back, at the same time."""
        most, self._most = self._most, (self.playing, self._held)
        return {"rate/attempts_playing": float(most[0]), "rate/attempts_held": float(most[1])}

    @asynccontextmanager
    async def begun(self, attempts: int) -> AsyncIterator[None]:
        """Run the body once there is room for so many attempts; they count until it ends."""
        turn = _Waiting(attempts)
        self._waiting.append(turn)
        self._held += attempts
        self._let_in()
        try:
            await turn.begin.wait()
            yield
        finally:
            if turn.begin.is_set():
                self.playing -= attempts
            else:
                self._waiting.remove(turn)
                self._held -= attempts
            self._let_in()

    async def look_on(self) -> None:
        """Compare the requests at the engines with the attempts that play again and again, for ever."""
        while True:
            await asyncio.sleep(Keeper.EVERY)
            self.look()

    def look(self) -> None:
        """Take a new look at the engines, and let groups begin."""
        if self.playing and self._room():
            running = sum(engine.running for engine in self._engines if engine.working)
            self._each = max(self.LEAST, self._each + self.WEIGHT * (running / self.playing - self._each))
        self._let_in()

    def _room(self) -> int:
        """How many requests the engines that work can hold; 0 if one does not say it, or none works."""
        rooms = [engine.room for engine in self._engines if engine.working]
        return sum(rooms) if all(rooms) else 0

    def _let_in(self) -> None:
        room = self._room()
        while self._waiting and (not room or not self.playing or self.playing * self._each < self.SURPLUS * room):
            turn = self._waiting.popleft()
            self._held -= turn.attempts
            self.playing += turn.attempts
            turn.begin.set()
        self._most = max(self._most[0], self.playing), max(self._most[1], self._held)
