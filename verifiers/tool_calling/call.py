"""Tool calls in the Hermes format: ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_SPACE = re.compile(r"\s*")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True)
class ToolCall:
    """One call as the model wrote it.

    Attributes:
        name: the tool's name, empty where it could not be read.
        arguments: by name.
        error: why the call could not be read, empty where it could.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def read_tool_calls(text: str) -> tuple[list[ToolCall], str]:
    """Return the calls in ``text``, in order, and the text around them.

    The JSON is decoded from the opening tag on, so that a string may contain the closing tag. A call that is cut off or
    malformed is returned with its ``error``; nothing is repaired.
    """
    calls: list[ToolCall] = []
    around: list[str] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        around.append(text[position:start])
        call, position = _read_one(text, start + len(_OPEN))
        calls.append(call)
    around.append(text[position:])
    return calls, "".join(around).strip()


def _read_one(text: str, start: int) -> tuple[ToolCall, int]:
    space = _SPACE.match(text, start)
    begin = space.end() if space else start
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError) as error:
        close = text.find(_CLOSE, start)
        return ToolCall("", error=f"not JSON: {error}"), close + len(_CLOSE) if close >= 0 else len(text)
    rest = text[end:].lstrip()
    if not rest.startswith(_CLOSE):
        return ToolCall("", error=f"no {_CLOSE} after the call"), end
    after = len(text) - len(rest) + len(_CLOSE)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return ToolCall("", error='a call is an object with "name" and "arguments"'), after
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return ToolCall(value["name"], error='"arguments" is not an object'), after
    return ToolCall(value["name"], arguments), after
