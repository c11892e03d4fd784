"""The protocol through which environments talk to a model: text on this side, tokens on the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..verifiers.message import Message, Role
from ..verifiers.segment import Segment
from ..verifiers.tool_calling.call import ToolCall
from ..verifiers.tool_calling.formats.hermes import read_hermes
from .thinking import Thinking


@dataclass(frozen=True)
class Reply:
    """One reply of the policy.

    Attributes:
        text: the answer, without reasoning and tool calls.
        reasoning: the text inside ``<think>``.
        tool_calls: the calls in order; a call that could not be read has an ``error``.
        stop: ``stop`` (the policy ended its turn) or ``length`` (a limit of tokens ended it).
        raw: the whole text, as sampled.
        tokens: the number of sampled tokens.
        prompt_tokens: the number of tokens of the prompt; 0 if the policy does not tell.
        forced: whether the reasoning was closed because its budget was used up.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: str = "stop"
    raw: str = ""
    tokens: int = 0
    forced: bool = False
    prompt_tokens: int = 0


class Chat(Protocol):
    """One agent's conversation. It is append-only and is the only owner of its tokens."""

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, as text."""
        ...

    def add(self, role: Role, content: str, **extra: Any) -> None:
        """Append a message. Never generates."""
        ...

    async def reply(self, **sampling: Any) -> Reply:
        """Let the policy speak; ``sampling`` overrides temperature, top_p, max_tokens, … for this reply."""
        ...

    def fork(self) -> "Chat":
        """A second conversation with the same history; its replies are in new segments."""
        ...

    def rewrite(self, messages: Sequence[Message]) -> None:
        """Replace the history; the next reply is in a new segment."""
        ...

    def set_advantage(self, value: float) -> None:
        """Set the advantage of the tokens of the latest reply; a chat without tokens ignores it.

        Once a value is set, the segments of this conversation and its forks carry advantages, and replies without a
        value have 0.
        """
        ...

    def segments(self) -> list[Segment]:
        """The training samples so far, including those of forks; empty if the policy gives no tokens."""
        ...

    @property
    def breaks(self) -> int:
        """How often the chat template could not continue from the tokens so far, so that a new segment began."""
        ...


class Policy(Protocol):
    """Opens conversations with one model."""

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> Chat:
        """A new conversation; ``tools`` are JSON schemas in the OpenAI shape, ``seed`` is the episode's."""
        ...


@dataclass
class ScriptedChat:
    """A chat with given replies, for tests, scripted players and scoring text without a model."""

    script: list[str]
    history: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """The conversation so far."""
        return self.history

    def add(self, role: Role, content: str, **extra: Any) -> None:
        """Append a message."""
        self.history.append({"role": role, "content": content, **extra})  # type: ignore[typeddict-item]

    async def reply(self, **sampling: Any) -> Reply:
        """The next line of the script; an empty reply after its end."""
        raw = self.script.pop(0) if self.script else ""
        self.add("assistant", raw)
        return read_reply(raw, stop="stop", tokens=0)

    def fork(self) -> "ScriptedChat":
        """A second conversation that continues from here."""
        return ScriptedChat(list(self.script), list(self.history))

    def rewrite(self, messages: Sequence[Message]) -> None:
        """Replace the history."""
        self.history[:] = messages

    def set_advantage(self, value: float) -> None:
        """Ignored: there are no tokens."""

    def segments(self) -> list[Segment]:
        """None: nothing was sampled."""
        return []

    @property
    def breaks(self) -> int:
        """Always 0: there are no tokens."""
        return 0


@dataclass(frozen=True)
class ScriptedPolicy:
    """A policy whose every conversation follows one script."""

    script: tuple[str, ...]

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> ScriptedChat:
        """A new conversation at the beginning of the script."""
        return ScriptedChat(list(self.script))


def read_reply(raw: str, stop: str, tokens: int, forced: bool = False) -> Reply:
    """Read the reasoning, the answer and the tool calls in a sampled text."""
    reading = read_hermes(raw)
    return Reply(reading.text, reading.reasoning, reading.calls, stop, raw, tokens, forced)
