"""A node that is a model call: a prompt made of a record, and a reply that is read into fields."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...verifiers.errors import ConfigError, DataError, nearest
from ...verifiers.message import Message, as_messages
from ...verifiers.text.visible import visible
from ...verifiers.trajectory import POLICY
from .ask import HELPER
from .fields import Record
from .node import Node, PostconditionFailed, Try
from .walk import Call


@dataclass(frozen=True, kw_only=True)
class ModelNode(Node):
    """A node that is a model call.

    Attributes:
        prompt: text with ``{field}`` for the fields in ``takes`` (``{{`` is a brace), or a function of the record that
            returns a text or messages. Texts that are put in are not searched for fields again.
        read: makes the fields of the reply's text, without its reasoning, and of the record; it may raise
            ``PostconditionFailed``. Without it, the text without white space around it is the one field in ``gives``.
        system: the system prompt; none if empty.
        trainable: whether the policy may be trained on this call. If so, the agent ``policy`` replies, otherwise the
            agent ``helper``.
        sampling: temperature, top_p, max_tokens, … of the reply, as in ``chat.reply``.
        demonstration: a perfect reply to the record, for warm starts and audits.
    """

    prompt: str | Callable[[Record], Any]
    read: Callable[[str, Record], Mapping[str, Any]] | None = None
    system: str = ""
    trainable: bool = True
    sampling: Mapping[str, Any] = field(default_factory=dict)
    demonstration: Callable[[Record], str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("read", "demonstration"):
            if (function := getattr(self, name)) is not None and not callable(function):
                raise ConfigError(f"node {self.name!r}: {name} is a function, found {function!r:.80}")
        if self.read is None and list(self.gives.values()) != [str]:
            raise ConfigError(
                f"node {self.name!r} gives {', '.join(self.gives)}; without `read` a model node gives one field, a text"
            )
        if isinstance(self.prompt, str):
            self._check_template(self.prompt)
        elif not callable(self.prompt):
            raise ConfigError(f"node {self.name!r}: the prompt is text or a function, found {self.prompt!r:.80}")

    @property
    def agent(self) -> str:
        """The agent that replies."""
        return POLICY if self.trainable else HELPER

    @property
    def trains(self) -> bool:
        """Whether the call may be trained on."""
        return self.trainable

    @property
    def asks(self) -> frozenset[str]:
        """The agent."""
        return frozenset({self.agent})

    async def apply(self, record: Record, attempt: Try) -> Mapping[str, Any]:
        """The fields that are read from the model's reply."""
        messages = self._messages(record)
        reply = await attempt.ask(self, record, messages)
        attempt.calls.append(Call(attempt.place, self.agent, tuple(messages), reply.raw or reply.text))
        if reply.stop == "length":
            raise PostconditionFailed("the reply was cut off at its token limit")
        if self.read is not None:
            return self.read(reply.text, record)
        (name,) = self.gives
        text = reply.text.strip()
        if not visible(text).strip():
            raise PostconditionFailed("the reply is empty")
        return {name: text}

    def _messages(self, record: Record) -> list[Message]:
        said = self.prompt.format_map(record) if isinstance(self.prompt, str) else self.prompt(record)
        try:
            messages = as_messages(said)
        except DataError as error:
            raise DataError(f"node {self.name!r}: {error}") from None
        return [{"role": "system", "content": self.system}, *messages] if self.system else messages

    def _check_template(self, text: str) -> None:
        try:
            parts = list(string.Formatter().parse(text))
            parts += [part for _, _, form, _ in parts if form for part in string.Formatter().parse(form)]
            names = [name for _, name, _, _ in parts if name is not None]
        except ValueError as error:
            raise ConfigError(
                f"node {self.name!r}: the prompt {text!r:.60} has {error}; write {{{{ for a brace"
            ) from None
        for name in names:
            if name not in self.takes:
                raise ConfigError(
                    f"node {self.name!r}: the prompt has {{{name}}}, which is not in its takes; "
                    f"{nearest(name, self.takes)}; write {{{{ for a brace"
                )
