"""Parser of calls that have tags for each parameter, with values as bare text."""

import re
from collections.abc import Mapping
from typing import Any

from ...json_data.text import NotJson, read_json, to_text
from ..call import Reading, ToolCall, repaired_call
from ..declaration import Declaration
from .parameter_tags import ParameterEnds, ParameterTags
from .repair import read_repaired
from .tagged import read_tagged, tag_pattern


def read_parameter_calls(text: str, tags: ParameterTags, tools: Mapping[str, Declaration] | None) -> Reading:
    """Parse a reply; never raises. A value is text if neither its tag nor the schema of its tool says otherwise."""
    ends = ParameterEnds(text, tags)
    pattern = tag_pattern(tags.openings)
    return read_tagged(text, pattern, lambda whole, at: _Reader(whole, tags, tools or {}, ends).block(at))


def bare_text(value: Any) -> str:
    """Return the text of a value between its tags: text as it is, all others as JSON."""
    return value if isinstance(value, str) else to_text(value)


class _Reader:
    def __init__(self, text: str, tags: ParameterTags, tools: Mapping[str, Declaration], ends: ParameterEnds) -> None:
        self._text = text
        self._tags = tags
        self._tools = tools
        self._ends = ends

    def block(self, start: int) -> tuple[list[ToolCall], int]:
        """Return the calls of the block or the bare call at ``start``, and the position after it."""
        text, tags = self._text, self._tags
        opened = text.startswith(tags.calls, start)
        position = _skip_space(text, start + len(tags.calls)) if opened else start
        calls: list[ToolCall] = []
        while True:
            call, position = self._function(position, [] if opened else [f"no {tags.calls} before it"])
            calls.append(call)
            if call.error and not call.repaired:
                return calls, position
            after = _skip_space(text, position)
            if text.startswith(tags.calls_end, after):
                return calls, after + len(tags.calls_end)
            if not opened or not tags.head.match(text, after):
                break
            position = after
        if opened:
            calls[-1] = repaired_call(calls[-1], ["no closing tag"])
        return calls, position

    def _function(self, start: int, repairs: list[str]) -> tuple[ToolCall, int]:
        """Return the call at ``start``, and the position after it."""
        text, tags = self._text, self._tags
        function = tags.head.match(text, start)
        if function is None:
            return ToolCall("", error="no function in the call"), self._next_tag(start + 1)
        name = function["function"]
        arguments: dict[str, Any] = {}
        position = function.end()
        while parameter := tags.value_head.match(text, position):
            key = parameter["parameter"].strip()
            end = self._ends.after(parameter.end())
            if end is None:
                tag = tags.next.search(text, parameter.end())
                if tag is None:  # the value extends to the end
                    return ToolCall(name, error=f"cut off in parameter {key!r:.80}"), len(text)
                return ToolCall(name, error="a parameter has no end"), self._next_tag(tag.start())
            if key in arguments:
                return ToolCall(name, error=f"parameter {key!r:.80} is given twice"), self._next_tag(end[1])
            raw = text[parameter.end() : end[0]]
            arguments[key] = self._value(raw, parameter, name, repairs)
            position = end[1]
        foot = tags.foot.match(text, _skip_space(text, position))
        if foot is None:
            cut = "cut off: " if not text[position:].strip() else ""
            return ToolCall(name, error=f"{cut}no end of the call after the parameters"), self._next_tag(position)
        return repaired_call(ToolCall(name, arguments), repairs), foot.end()

    def _value(self, raw: str, parameter: re.Match[str], tool: str, repairs: list[str]) -> Any:
        kind = parameter.groupdict().get("string")
        if self._tags.lines:
            raw = raw.removeprefix("\n").removesuffix("\n")
        if kind == "true":
            return raw
        if kind == "false":
            return _json_value(raw, repairs, 'text with string="false"')
        known = self._tools.get(tool)
        properties = known.parameters.get("properties") if known else None
        schema = properties.get(parameter["parameter"].strip()) if isinstance(properties, dict) else None
        return _typed_value(raw, _json_types(schema), repairs)

    def _next_tag(self, start: int) -> int:
        """Return the position after the next closing tag, or before the next call or the end of reasoning."""
        tag = self._tags.next.search(self._text, start)
        if tag is None:
            return len(self._text)
        return tag.end() if tag[1] else tag.start()


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _typed_value(raw: str, kinds: set[str], repairs: list[str]) -> Any:
    """Return the value that ``raw`` is by its schema; text if the schema allows text or says nothing."""
    word = raw.strip()
    if "null" in kinds and word in ("null", "None"):
        return None
    if not kinds or "string" in kinds:
        return raw
    if "boolean" in kinds and word in ("True", "False"):
        return word == "True"
    return _json_value(raw, repairs)


def _json_value(raw: str, repairs: list[str], otherwise: str = "") -> Any:
    """Return the JSON value in ``raw``, repaired if need be; else the text itself, with the repair ``otherwise``."""
    try:
        return read_json(raw)
    except NotJson:
        pass
    try:
        value, end, found = read_repaired(raw, 0)
    except NotJson:
        end = 0
    if not end or raw[end:].strip():
        repairs += [otherwise] * bool(otherwise)
        return raw  # without a repair, this is the wrong type, which the schema check reports
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
