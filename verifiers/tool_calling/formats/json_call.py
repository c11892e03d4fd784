"""Parser for a tool call written as JSON between an opening and a closing tag."""

import re

from ...json_data.text import NotJson, read_json_at, skip_space
from ..call import ToolCall, as_call, repaired_call
from .repair import read_repaired

_FENCE_OPEN, _FENCE_CLOSE = re.compile(r"\s*```(?:json)?[ \t]*\n"), re.compile(r"\s*```")


def read_json_call(text: str, start: int, opening: str, closing: str) -> tuple[ToolCall, int]:
    """Return the call whose opening tag ends at ``start``, and the position after it.

    Strings may contain the tags. After a call that cannot be parsed, the position is that of the next tag.
    """
    try:
        value, end = read_json_at(text, start)
    except NotJson as error:
        fault = f"cut off: {error}" if error.at_end else f"not JSON: {error}"
        return _read_repaired_call(text, start, fault, opening, closing)
    after = skip_space(text, end)
    if text.startswith(closing, after):
        return as_call(value), after + len(closing)
    if _at_end_or_tag(text, after):
        return repaired_call(as_call(value), ["no closing tag"], f"no {closing} after the call"), end
    return ToolCall("", error=f"no {closing} after the call"), end


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
