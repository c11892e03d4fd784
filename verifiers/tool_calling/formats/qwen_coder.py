"""Tool-call format of Qwen3-Coder: a tag per function and per parameter, with values as bare text."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...json_data.text import NotJson, read_json, to_text
from ..call import Reading, ToolCall, repaired_call
from ..declaration import Declaration, to_json_lines
from .parameter_end import ParameterEnds
from .repair import read_repaired
from .tagged import read_tagged, tag_pattern

_TAGS = tag_pattern(("<tool_call>", "<function="))
_OPEN = re.compile(r"(?:<tool_call>\s*+)?")
_FUNCTION = re.compile(r"<function=([^<>\s]{1,200}+)>\s*+")
_PARAMETER = re.compile(r"<parameter=([^<>\s]{1,200}+)>")
_CLOSE = re.compile(r"\s*+</tool_call>")
_ANOTHER = re.compile(r"\s*+(?=<function=)")
_NEXT = re.compile(r"<tool_call>|(</tool_call>)|<function=|</think>")


@dataclass(frozen=True)
class QwenCoder:
    """Format of Qwen3-Coder and Qwen3.5. Values that the schema declares as strings are verbatim, all others are JSON.

    The template of Qwen3.5 writes scalars as Python does, so ``True``, ``False`` and ``None`` are read, too.
    """

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return (
            f"You may call these functions:\n<tools>\n{to_json_lines(tools)}\n</tools>\n\n"
            "A call looks like this, a tag for each parameter, its value on lines of its own:\n"
            "<tool_call>\n<function=name>\n<parameter=first>\nvalue\n</parameter>\n</function>\n</tool_call>"
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one ``<tool_call>`` block per call."""
        return "\n".join(map(_format_call, calls))

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``user``."""
        return f"<tool_response>\n{content}\n</tool_response>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises. A value is text if the schema of its tool is unknown."""
        ends = ParameterEnds(text)
        return read_tagged(text, _TAGS, lambda whole, at: _read_tag(whole, at, tools or {}, ends))


FORMAT = QwenCoder()


def _format_call(call: ToolCall) -> str:
    lines = [f"<function={call.name}>"]
    for name, value in call.arguments.items():
        text = value if isinstance(value, str) else to_text(value)
        lines.append(f"<parameter={name}>\n{text}\n</parameter>")
    return "\n".join(["<tool_call>", *lines, "</function>", "</tool_call>"])


def _read_tag(
    text: str, start: int, tools: Mapping[str, Declaration], ends: ParameterEnds
) -> tuple[list[ToolCall], int]:
    """Return the calls of one ``<tool_call>``, and the position after it; it may hold several functions."""
    opening = _OPEN.match(text, start)
    position = opening.end() if opening else start
    opened = position != start
    calls: list[ToolCall] = []
    while True:
        call, position = _read_function(text, position, tools, ends, [] if opened else ["no <tool_call> before it"])
        calls.append(call)
        if call.error and not call.repaired:
            return calls, position
        if close := _CLOSE.match(text, position):
            return calls, close.end()
        another = _ANOTHER.match(text, position)
        if not opened or another is None:
            break
        position = another.end()
    if opened:
        calls[-1] = repaired_call(calls[-1], ["no closing tag"])
    return calls, position


def _read_function(
    text: str, start: int, tools: Mapping[str, Declaration], ends: ParameterEnds, repairs: list[str]
) -> tuple[ToolCall, int]:
    """Return the call of the ``<function=…>`` at ``start``, and the position after it."""
    function = _FUNCTION.match(text, start)
    if function is None:
        return ToolCall("", error="no <function=…> in the call"), _next_tag(text, start + 1)
    known = tools.get(function[1])
    arguments: dict[str, Any] = {}
    position = function.end()
    while parameter := _PARAMETER.match(text, position):
        end = ends.after(parameter.end())
        if end is None:
            tag = _NEXT.search(text, parameter.end())
            if tag is None:  # the value extends to the end
                return ToolCall(function[1], error=f"cut off in parameter {parameter[1]!r:.80}"), len(text)
            return ToolCall(function[1], error="a parameter has no end"), _next_tag(text, tag.start())
        if parameter[1] in arguments:
            return ToolCall(function[1], error=f"parameter {parameter[1]!r:.80} is given twice"), end[1]
        raw = _strip_line_breaks(text[parameter.end() : end[0]])
        arguments[parameter[1]] = _value(raw, known, parameter[1], repairs)
        position = end[1]
    if not text.startswith("</function>", position):
        cut = "cut off: " if position >= len(text) else ""
        return ToolCall(function[1], error=f"{cut}no </function> after the parameters"), _next_tag(text, position)
    return repaired_call(ToolCall(function[1], arguments), repairs), position + len("</function>")


def _next_tag(text: str, start: int) -> int:
    """Return the position after the next closing tag, or before the next call or the end of reasoning."""
    tag = _NEXT.search(text, start)
    if tag is None:
        return len(text)
    return tag.end() if tag[1] else tag.start()


def _strip_line_breaks(raw: str) -> str:
    """Return the value without the line breaks next to its tags."""
    return raw.removeprefix("\n").removesuffix("\n")


def _value(raw: str, tool: Declaration | None, name: str, repairs: list[str]) -> Any:
    properties = tool.parameters.get("properties") if tool else None
    schema = properties.get(name) if isinstance(properties, dict) else None
    kinds = _json_types(schema)
    word = raw.strip()
    if "null" in kinds and word in ("null", "None"):
        return None
    if not kinds or "string" in kinds:
        return raw
    if "boolean" in kinds and word in ("True", "False"):
        return word == "True"
    try:
        return read_json(raw)
    except NotJson:
        pass
    try:
        value, end, found = read_repaired(raw, 0)
    except NotJson:
        return raw  # the wrong type, which the schema check reports
    if raw[end:].strip():
        return raw
    repairs += found
    return value


def _json_types(schema: Any) -> set[str]:
    """Return the JSON types that a parameter may have; empty if its schema names none."""
    if not isinstance(schema, dict):
        return set()
    named = schema.get("type")
    kinds = {named} if isinstance(named, str) else set(named) if isinstance(named, list) else set()
    for choice in ("anyOf", "oneOf"):
        for inner in schema.get(choice) or ():
            kinds |= _json_types(inner)
    for value in schema.get("enum") or ():
        kinds |= {"string"} if isinstance(value, str) else set()
    return kinds
