"""A stored conversation as training rows hold it: roles, tool calls and reasoning in the fields of chat templates."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...environments.chat import Reply, read_reply
from ...verifiers.message import Message, is_reply
from ...verifiers.text.think import split_reasoning


def unchanged(reasoning: str) -> str:
    """``reasoning`` as it is."""
    return reasoning


@dataclass(frozen=True)
class Style:
    """How replies are written.

    Attributes:
        replies: ``parsed`` puts tool calls into ``tool_calls`` and reasoning into ``reasoning_content``, as the chat
            templates of most models expect it; ``text`` leaves both in ``content``, in ``<tool_call>`` and ``<think>``.
        reasoning: ``keep``, ``strip``, or ``close``, which applies ``shorten``.
        shorten: cuts reasoning at a budget.
    """

    replies: Literal["parsed", "text"] = "parsed"
    reasoning: Literal["keep", "strip", "close"] = "keep"
    shorten: Callable[[str], str] = unchanged


def row_messages(messages: Sequence[Message], style: Style) -> list[dict[str, Any]]:
    """The messages in OpenAI's form, each with ``train``, which is true for the replies of the policy alone.

    Arguments of calls are objects, as chat templates expect them. Results have the id of their call. A reply with a
    call that cannot be read stays text, and the results that follow it have no id.
    """
    rows: list[dict[str, Any]] = []
    unanswered: list[str] = []
    for position, message in enumerate(messages):
        role = message["role"]
        row: dict[str, Any] = {"role": role, "content": message["content"]}
        if role == "assistant":
            row = _reply(message, position, style)
            unanswered = [call["id"] for call in row.get("tool_calls", ())]
        elif role == "tool":
            if name := message.get("name"):
                row["name"] = name
            if unanswered:
                row["tool_call_id"] = unanswered.pop(0)
        rows.append({**row, "train": is_reply(message)})
    return rows


def _reply(message: Message, position: int, style: Style) -> dict[str, Any]:
    raw = message["content"]
    said = read_reply(raw, stop="stop", tokens=0)
    reasoning = "" if style.reasoning == "strip" else style.shorten(said.reasoning)
    if style.replies == "text" or any(call.error for call in said.tool_calls):
        return {"role": "assistant", "content": _as_text(raw, said, reasoning, style)}
    row: dict[str, Any] = {"role": "assistant", "content": said.text}
    if reasoning:
        row["reasoning_content"] = reasoning
    calls = [
        {
            "id": f"call_{position}_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(said.tool_calls)
    ] or message.get("tool_calls", [])  # an example may have them as a field
    return {**row, "tool_calls": calls} if calls else row


def _as_text(raw: str, said: Reply, reasoning: str, style: Style) -> str:
    """The reply as one text; as it was sampled, unless its reasoning changes."""
    if style.reasoning == "keep" or reasoning == said.reasoning:
        return raw
    answer = split_reasoning(raw)[1]
    return f"<think>\n{reasoning}\n</think>\n\n{answer}" if reasoning else answer


def as_json(value: Any) -> str:
    """``value`` as JSON on one line; a lone surrogate, which UTF-8 does not have, becomes a replacement character."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
