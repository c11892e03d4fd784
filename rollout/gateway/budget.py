"""What one episode may use, and how much of it is used: turns, tokens, calls at a time, and memory."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from ...verifiers.trajectory import StopReason
from ..service.engine.requests import Refusal

_BODIES = 128 << 20
"""The most bytes that the requests and answers of the calls at a time have together; one alone may have more."""


@dataclass(frozen=True)
class GatewayLimits:
    """Limits of one episode; a call beyond one of them is refused, and the episode goes on."""

    turns: int = 256
    """The most calls that are answered."""
    tokens: int = 1 << 20
    """The most sampled tokens of all replies together."""
    at_once: int = 64
    """The most calls at a time, from the first byte of a request to the last one of its answer."""
    waiting: float = 600.0
    """The most seconds for which a call waits while the episode is paused."""
    bytes: int = 512 << 20
    """The most memory for messages and replies, and for the ids of prompts that have several replies."""


class Budget:
    """Counts what an episode uses; each method raises ``Refusal`` for what is beyond a limit.

    Attributes:
        limits: of the episode.
        calls: that were answered.
        sampled: tokens; for a model behind a URL, as the endpoint counts them.
        reached: the limit that a call was refused for; ``done`` if there was none.
    """

    def __init__(self, limits: GatewayLimits) -> None:
        self.limits = limits
        self.calls = self.sampled = 0
        self.reached: StopReason = StopReason.DONE
        self._entered = self._bodies = self._kept = 0
        self._running = self._reserved = 0
        self._freed = asyncio.Event()

    def enter(self, calls: int, size: int) -> None:
        """Begin one of the ``calls`` at a time, or another part of one (0), that holds ``size`` bytes at most."""
        if calls and self._entered >= self.limits.at_once:
            raise _busy(f"this episode has {self.limits.at_once} calls at a time")
        if self._entered + calls > 1 and self._bodies + size > _BODIES:
            raise _busy(f"the calls of this episode have {_BODIES} bytes at a time")
        self._entered += calls
        self._bodies += size

    def leave(self, calls: int, size: int) -> None:
        """End what ``enter`` began."""
        self._entered -= calls
        self._bodies -= size

    def check(self) -> None:
        """Refuse a call if no turn or no token is left."""
        if self.calls + self._running >= self.limits.turns:
            self.reached = StopReason.TURNS
            raise _over(f"this episode has had its {self.limits.turns} turns; it takes no more calls")
        self._check_tokens()

    def _check_tokens(self) -> None:
        if self.sampled >= self.limits.tokens:
            self.reached = StopReason.LENGTH
            raise _over(f"this episode has had its {self.limits.tokens} tokens; it takes no more calls")

    async def admit(self, wanted: int) -> int:
        """Begin a call, and return the tokens that are reserved for its replies, at most ``wanted``."""
        self.check()
        self._running += 1
        try:
            while (left := self.limits.tokens - self.sampled - self._reserved) <= 0 < self._reserved:
                self._freed.clear()
                await self._freed.wait()
            self._check_tokens()
        except BaseException:
            self._running -= 1
            raise
        most = min(left, wanted)
        self._reserved += most
        return most

    def release(self, most: int) -> None:
        """End a call for which ``most`` tokens were reserved."""
        self._reserved -= most
        self._running -= 1
        self._freed.set()

    def keep(self, size: int) -> None:
        """Count bytes that are kept until the episode ends."""
        if self._kept + size > self.limits.bytes:
            self.reached = StopReason.LENGTH
            raise _over(
                f"with this call, the episode would keep more than {self.limits.bytes} bytes of messages and replies; "
                "send shorter ones, or raise GatewayLimits.bytes"
            )
        self._kept += size


def size_of(value: Any) -> int:
    """The bytes of a JSON value in memory."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(map(size_of, value.values()))
    return size + sum(map(size_of, value)) if isinstance(value, list) else size


def _busy(message: str) -> Refusal:
    return Refusal(f"{message}; wait for one", status=429, code="busy")


def _over(message: str) -> Refusal:
    return Refusal(message, status=403, code="budget_exceeded")
