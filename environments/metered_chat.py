"""A chat that counts its agent's replies, tokens and tool calls, and ends the episode at a limit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..verifiers.errors import ConfigError, InfrastructureError
from ..verifiers.message import Message, Role
from ..verifiers.segment import Segment
from ..verifiers.trajectory import StopReason
from .chat import Chat, Reply
from .limits import Limits


class LimitReached(Exception):
    """Raised to end an episode that has reached a limit; the episode is still scored."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"the episode reached its limit of {reason.value}")
        self.reason = reason


@dataclass
class Meter:
    """What one agent has used, including its forks.

    Attributes:
        turns: replies that came.
        asked: replies that are under way.
        tokens: sampled tokens.
        prompt_tokens: tokens of the prompts; a prompt that grows is counted at each reply.
        forced: replies whose reasoning was closed at the budget.
        last_stop: why the latest reply ended.
        unanswered: chat → why its latest reply never came.
    """

    turns: int = 0
    asked: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    forced: int = 0
    last_stop: str = ""
    unanswered: dict["MeteredChat", str] = field(default_factory=dict)


class MeteredChat:
    """A chat within the limits of its agent; forks share the meter."""

    def __init__(self, inner: Chat, limits: Limits, meter: Meter) -> None:
        self._inner = inner
        self._limits = limits
        self._replied = False
        self.meter = meter

    @property
    def messages(self) -> list[Message]:
        """The conversation so far."""
        return self._inner.messages

    def add(self, role: Role, content: str, **extra: Any) -> None:
        """Append a message; an assistant's message is marked as written by the environment."""
        if role == "assistant":
            extra.setdefault("given", True)
        self._inner.add(role, content, **extra)

    async def reply(self, **sampling: Any) -> Reply:
        """Let the policy speak within what is left of the limits.

        Raises:
            LimitReached: nothing is left.
        """
        if self.meter.turns + self.meter.asked >= self._limits.turns:
            raise LimitReached(StopReason.TURNS)
        left = self._limits.tokens - self.meter.tokens
        if left <= 0:
            raise LimitReached(StopReason.LENGTH)
        most = min(left, sampling.get("max_tokens", left))
        self.meter.asked += 1
        try:
            reply = await self._inner.reply(**{**sampling, "max_tokens": most})
        except InfrastructureError as failure:
            self.meter.unanswered[self] = f"{type(failure).__name__}: {failure}"
            raise
        finally:
            self.meter.asked -= 1
        self._replied = True
        self.meter.unanswered.pop(self, None)
        self.meter.turns += 1
        self.meter.tokens += reply.tokens
        self.meter.prompt_tokens += reply.prompt_tokens
        self.meter.forced += reply.forced
        self.meter.last_stop = reply.stop
        return reply

    def fork(self) -> "MeteredChat":
        """A second conversation with the same history and the same meter."""
        return MeteredChat(self._inner.fork(), self._limits, self.meter)

    def rewrite(self, messages: Sequence[Message]) -> None:
        """Replace the history."""
        self._inner.rewrite(messages)

    def set_advantage(self, value: float) -> None:
        """Set the advantage of the latest reply's tokens.

        Raises:
            ConfigError: this conversation has had no reply.
        """
        if not self._replied:
            raise ConfigError("there is no reply yet to give an advantage to; await chat.reply() first")
        self._inner.set_advantage(value)

    def segments(self) -> list[Segment]:
        """The training samples so far, including those of forks."""
        return self._inner.segments()

    @property
    def breaks(self) -> int:
        """How often the chat template could not go on from the tokens so far."""
        return self._inner.breaks
