"""A message as files of training rows have it, checked and turned into the form that chat templates read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...verifiers.errors import DataError
from ...verifiers.message import ROLES, Message

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys under which files give an assistant's reasoning. Templates read the first one."""

_DEEPEST = 64


def read_messages(value: Any, column: str, role: str = "user") -> list[dict[str, Any]]:
    """Return the messages of a column; a text is one message of ``role``.

    Each message has ``role`` and ``content``, and as far as they are given ``name``, ``tool_calls`` (whose arguments
    are objects), ``tool_call_id``, ``reasoning_content`` and the boolean ``train``. Other keys are left out.

    Raises:
        DataError: it is neither a text nor messages; the error begins with the column.
    """
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not value:
        raise DataError(f"column {column!r} must be a text or a list of messages, found {value!r:.80}; repair the row")
    return [_message(item, f"column {column!r}, message {number}") for number, item in enumerate(value, start=1)]


def read_tools(value: Any) -> list[dict[str, Any]]:
    """Return the tools of a row: a list of JSON schemas, or the JSON text of one; nothing if there are none.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except (ValueError, RecursionError) as error:
            raise DataError(f"column 'tools' is a text that is not JSON ({error}); repair the row") from None
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise DataError(f"column 'tools' must be a list of JSON schemas, found {value!r:.80}; repair the row")
    return value


def without_nulls(value: Any, depth: int = 0) -> Any:
    """Return a value of a column file without the nulls that it has for each key that only other rows have."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {key: without_nulls(item, depth + 1) for key, item in value.items() if item is not None}
    return [without_nulls(item, depth + 1) for item in value] if isinstance(value, list) else value


def as_message(item: Mapping[str, Any]) -> Message:
    """Return a message without the flag ``train``, as templates take it."""
    return {key: value for key, value in item.items() if key != "train"}  # type: ignore[return-value]


def _message(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str) or item["role"] not in ROLES:
        found = item.get("role") if isinstance(item, dict) else item
        raise DataError(f"{where} needs a role among {', '.join(sorted(ROLES))}, found {found!r:.80}; repair the row")
    role = item["role"]
    made: dict[str, Any] = {"role": role, "content": _content(item.get("content"), where)}
    for key in ("name", "tool_call_id"):
        if item.get(key) is not None:
            made[key] = str(item[key])
    train = item.get("train")
    if train is not None and not isinstance(train, bool):
        raise DataError(f"{where}: 'train' must be true or false, found {train!r:.80}; repair the row")
    if train and role != "assistant":
        raise DataError(f"{where}: only messages of the assistant can be trained, and its role is {role!r}; repair it")
    if role != "assistant":
        return made
    if train is not None:
        made["train"] = train
    reasoning = next((item[key] for key in REASONING if item.get(key) is not None), "")
    if not isinstance(reasoning, str):
        raise DataError(f"{where}: its reasoning must be a text, found {reasoning!r:.80}; repair the row")
    if reasoning.strip():
        made[REASONING[0]] = reasoning
    if item.get("tool_calls"):
        made["tool_calls"] = _calls(item["tool_calls"], where)
    return made


def _content(value: Any, where: str) -> str:
    """The text of a content, which may be null beside calls, or a list of parts that are texts."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise DataError(f"{where}: its content must be a text, found {value!r:.80}; repair the row")
    return value


def _calls(value: Any, where: str) -> Sequence[dict[str, Any]]:
    calls = []
    for call in value if isinstance(value, list) else [value]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise DataError(f"{where}: a tool call needs a function with a name, found {call!r:.80}; repair the row")
        arguments = function.get("arguments") or {}
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = None
        if not isinstance(arguments, dict):
            raise DataError(
                f"{where}: the arguments of a tool call must be an object or its JSON text, found "
                f"{function['arguments']!r:.80}; repair the row"
            )
        made = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
        calls.append(made | ({"id": str(call["id"])} if call.get("id") is not None else {}))
    return calls
