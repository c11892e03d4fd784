"""A conversation as training samples: the ids that the policy would be asked with, and those that it has to sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...rollout.chats.renderer import Ids, Renderer
from ...verifiers.message import Message
from ...verifiers.tool_calling.call import ToolCall
from ...verifiers.tool_calling.formats.format import tool_format
from ..learner.sample import Sample
from .row_message import REASONING, as_message


def conversation_samples(
    items: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], renderer: Renderer
) -> list[Sample]:
    """Return the samples of a conversation. Their trained tokens are those of the assistant, with the end of its turns.

    As in a rollout, each prompt is the earlier ids and a bridge of the new messages. If the template cannot bridge, as
    many drop earlier reasoning, a new sample begins, in which everything before is context.

    Args:
        items: messages as ``read_messages`` returns them. Without the flag ``train``, an assistant's is trained.
        tools: JSON schemas.
        renderer: renders the model's chat template.

    Raises:
        DataError: the template refuses the messages.
    """
    writer = _Writer(renderer, tools)
    for item in items:
        message = as_message(item)
        if item["role"] == "assistant" and item.get("train", True):
            writer.reply(message)
        else:
            writer.add(message)
    return writer.samples()


def plain_sample(tokens: Ids, mask: "np.ndarray[Any, np.dtype[np.bool_]]") -> Sample:
    """Return a supervised sample; its advantages take no memory."""
    return Sample(tokens, mask, None, np.broadcast_to(np.float32(1), tokens.shape))


@dataclass
class _Open:
    """The sample that is being written: its ids, and which of them are trained."""

    parts: list[Ids]
    trained: list[bool]

    def add(self, ids: Ids, trained: bool) -> None:
        self.parts.append(ids)
        self.trained.append(trained)

    def sample(self) -> Sample:
        sizes = [part.size for part in self.parts]
        return plain_sample(np.concatenate(self.parts).astype(np.int32), np.repeat(np.asarray(self.trained), sizes))


class _Writer:
    """Writes a conversation, message by message.

    Args:
        renderer: renders the model's chat template.
        tools: JSON schemas.
    """

    def __init__(self, renderer: Renderer, tools: Sequence[dict[str, Any]]) -> None:
        self._renderer, self._tools = renderer, tools
        self._messages: list[Message] = []
        self._told = 0  # the number of messages that the ids contain
        self._last: Ids | None = None  # the ids of the latest reply, which is message number ``_told``
        self._samples: list[_Open] = []

    def add(self, message: Message) -> None:
        """Add a message that is context."""
        self._messages.append(self._told_as(message, None)[0] if _has_parts(message) else message)

    def reply(self, message: Message) -> None:
        """Add a message that is trained."""
        prompt = self._bridge()
        if prompt is None:
            prompt = self._renderer.prompt(self._messages, self._tools)
            self._samples.append(_Open([], []))
        told, ids = self._told_as(message, prompt)
        sample = self._samples[-1]
        sample.add(prompt, False)
        sample.add(ids, True)
        self._messages.append(told)
        self._told, self._last = len(self._messages), ids

    def samples(self) -> list[Sample]:
        return [one.sample() for one in self._samples]

    def _bridge(self) -> Ids | None:
        if self._last is None:
            return None
        before, new = self._messages[: self._told - 1], self._messages[self._told :]
        end = int(self._last[-1]) if self._last[-1] in self._renderer.stop_ids else None
        text = self._renderer.decode(self._last)
        return self._renderer.bridge(before, text, end, new, self._tools)

    def _told_as(self, message: Message, prompt: Ids | None) -> tuple[Message, Ids]:
        """The message as the template is told it, and its ids.

        The template writes the reply itself, calls and reasoning included. If it cannot, or leaves a part of it out,
        the reply is written as the policy would write it: reasoning in ``<think>``, then the text, then the calls.
        """
        ids = self._renderer.turn(self._messages, message, self._tools) if self._messages else None
        if ids is not None and _holds(self._renderer.decode(ids), message):
            return message, ids
        text = _written(message, self._renderer)
        nothing = self._renderer.written("")
        return {"role": "assistant", "content": text}, self._renderer.rest_of(
            text, nothing if prompt is None else prompt
        )


def _has_parts(message: Message) -> bool:
    return message["role"] == "assistant" and (REASONING[0] in message or "tool_calls" in message)


def _holds(text: str, message: Message) -> bool:
    """Whether a reply's text has all parts of the message."""
    content: str = message["content"]
    parts = [content.strip(), str(message.get(REASONING[0], "")).strip()]
    parts += [call["function"]["name"] for call in message.get("tool_calls", [])]
    return all(part in text for part in parts)


def _written(message: Message, renderer: Renderer) -> str:
    reasoning = str(message.get(REASONING[0], "")).strip()
    thought = f"<think>\n{reasoning}\n</think>\n\n" if reasoning else ""
    functions = [call["function"] for call in message.get("tool_calls", [])]
    calls = [ToolCall(function["name"], function["arguments"]) for function in functions]
    written = tool_format(renderer.call_format).write_calls(calls) if calls else ""
    return thought + "\n".join(filter(None, [message["content"], written]))
