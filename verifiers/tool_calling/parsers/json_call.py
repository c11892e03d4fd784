"""Parser for tool calls written as JSON between an opening and a closing tag."""

import re
from typing import Any

from ...json_data.text import NotJson, read_json_at, skip_space
from ..call import ToolCall, as_call, repaired_call
from .repair import read_repaired

_FENCE_OPEN, _FENCE_CLOSE = re.compile(r"\s*```(?:json)?[ \t]*\n"), re.compile(r"\s*```")


def read_json_calls(text: str, start: int, opening: str, closing: str) -> tuple[list[ToolCall], int]:
    """Return the calls after the opening tag that ends at ``start``, and the position after them.

    One tag may hold several calls, one after another or in a list. Strings may contain the tags. After a call that
    cannot be parsed, the position is that of the next tag.
    """
    try:
        value, end = read_json_at(text, start)
    except NotJson as error:
        fault = f"cut off: {error}" if error.at_end else f"not JSON: {error}"
        call, end = _read_repaired_call(text, start, fault, opening, closing)
        return [call], end
    after = skip_space(text, end)
    values, closed = _values_before(closing, text, value, after)
    if closed:
        return [call for one in values for call in _as_calls(one)], closed
    if _at_end_or_tag(text, after):
        return [repaired_call(as_call(value), ["no closing tag"], f"no {closing} after the call")], end
    return [ToolCall("", error=f"no {closing} after the call")], end


def _values_before(closing: str, text: str, first: Any, after: int) -> tuple[list[Any], int]:
    """Return ``first`` and the objects after it, and the position after ``closing``; 0 if that does not follow."""
    values = [first]
    while text.startswith("{", after):
        try:
            value, end = read_json_at(text, after)
        except NotJson:
            return values, 0
        values.append(value)
        after = skip_space(text, end)
    return values, after + len(closing) if text.startswith(closing, after) else 0


def _as_calls(value: Any) -> list[ToolCall]:
    """Return the calls of one JSON value, an object or a list of objects."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [as_call(one) for one in value]
    return [as_call(value)]


def _read_repaired_call(text: str, start: int, fault: str, opening: str, closing: str) -> tuple[ToolCall, int]:
    fence = _FENCE_OPEN.match(text, start)
    try:
        value, end, repairs = read_repaired(text, fence.end() if fence else start)
    except NotJson:
        return ToolCall("", error=fault), _next_tag(text, start, opening, closing)
    if fence:
        repairs.append("a code fence")
        behind = _FENCE_CLOSE.match(text, end)
        end = behind.end() if behind else end
    after = skip_space(text, end)
    if text.startswith(closing, after):
        return repaired_call(as_call(value), repairs, fault), after + len(closing)
    if _at_end_or_tag(text, after):
        return repaired_call(as_call(value), [*repairs, "no closing tag"], fault), end
    return ToolCall("", error=fault), _next_tag(text, start, opening, closing)


def _at_end_or_tag(text: str, position: int) -> bool:
    """Return whether the text ends or a tag follows."""
    return position >= len(text) or text[position] == "<"


def _next_tag(text: str, start: int, opening: str, closing: str) -> int:
    """Return the position after the next closing tag, or before another call or the end of reasoning."""
    tag = re.compile(f"{re.escape(opening)}|({re.escape(closing)})|</think>").search(text, start)
    if tag is None:
        return len(text)
    return tag.end() if tag[1] else tag.start()
