"""Conversations in the form of OpenAI's Responses API: the input as messages, and replies as output items."""

import json
from collections.abc import Sequence
from typing import Any

from ...verifiers.errors import DataError
from ...verifiers.message import Message
from ...verifiers.text.think import split_reasoning
from ...verifiers.tool_calling.call import ToolCall, as_call
from ...verifiers.tool_calling.formats.hermes import FORMAT
from ..chat import Reply


def input_messages(params: dict[str, Any]) -> list[Message]:
    """The ``instructions`` and ``input`` of a request as messages; earlier calls are written as Hermes writes them.

    Raises:
        DataError: an item is of a kind that a text conversation does not have, such as an image.
    """
    given = params.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise DataError(f"responses_create_params.input must be text or a list of items, found {given!r:.80}")
    messages: list[Message] = []
    if params.get("instructions"):
        messages.append({"role": "system", "content": str(params["instructions"])})
    for item in items:
        if not isinstance(item, dict):
            raise DataError(f"an item of the input must be an object, found {item!r:.80}")
        _add(messages, item)
    return messages


def _add(messages: list[Message], item: dict[str, Any]) -> None:
    """Add an item to the messages; calls and reasoning become a part of the assistant's message."""
    match item.get("type", "message"):
        case "message" if item.get("role") in ("user", "system", "developer", "assistant"):
            role: Any = "system" if item["role"] == "developer" else item["role"]
            if role == "assistant":
                _say(messages, _text(item.get("content")))
            else:
                messages.append({"role": role, "content": _text(item.get("content"))})
        case "reasoning":
            thought = _text(item.get("content") or item.get("summary"))
            messages.append({"role": "assistant", "content": f"<think>\n{thought}\n</think>"})
        case "function_call":
            call = as_call({"name": item.get("name"), "arguments": item.get("arguments", {})})
            _say(messages, FORMAT.write_calls([call.repaired or call]))
        case "function_call_output":
            messages.append({"role": "tool", "content": _text(item.get("output"))})
        case _:
            raise DataError(f"the input has an item that is no text, message or call: {item!r:.120}")


def _say(messages: list[Message], text: str) -> None:
    """Continue the assistant's message at the end, or begin one."""
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["content"] += f"\n\n{text}"
    else:
        messages.append({"role": "assistant", "content": text})


def _text(content: Any) -> str:
    """Text, or the text of all parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise DataError(f"the content of an item must be text, found {content!r:.120}")
    return "".join(part["text"] for part in parts)


def output_items(reply: Reply, turn: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The items that a reply is, and the id of each of its calls; ``turn`` makes ids unique in an episode.

    A reply with a call that cannot be read is a message with the text as it was written.
    """
    readable = not any(call.error for call in reply.tool_calls)
    calls: Sequence[ToolCall] = reply.tool_calls if readable else ()
    text = reply.text if readable else split_reasoning(reply.raw)[1]
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{turn}", "summary": summary})
    if text or not calls:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        items.append(
            {"type": "message", "id": f"msg_{turn}", "role": "assistant", "status": "completed", "content": content}
        )
    ids = [f"call_{turn}_{number}" for number in range(len(calls))]
    for call, call_id in zip(calls, ids, strict=True):
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        items.append({"type": "function_call", "call_id": call_id, "name": call.name, "arguments": arguments})
    return items, ids


def call_output(call_id: str, output: str) -> dict[str, Any]:
    """The item that is a call's result."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def response_of(items: list[dict[str, Any]], params: dict[str, Any], complete: bool) -> dict[str, Any]:
    """A ``Response`` with the output ``items``; ``complete`` says that no limit of tokens ended it."""
    return {
        "id": "resp_lachesis",
        "object": "response",
        "created_at": 0.0,
        "model": "policy",
        "output": items,
        "parallel_tool_calls": bool(params.get("parallel_tool_calls", True)),
        "tool_choice": params.get("tool_choice", "auto"),
        "tools": [{"strict": None, "parameters": None, **tool} for tool in params.get("tools") or ()],
        "status": "completed" if complete else "incomplete",
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
    }
