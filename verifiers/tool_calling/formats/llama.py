"""Tool-call format of Llama 3.1: the whole reply is one or more JSON objects with ``name`` and ``parameters``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...json_data.text import NotJson, skip_space, to_text
from ..call import Reading, ToolCall, as_call, repaired_call
from ..declaration import Declaration, to_json_lines
from ..parsers.repair import read_json_or_repaired
from ..parsers.whole_reply import read_whole_reply

PYTHON_TAG = "<|python_tag|>"
END_TOKENS = ("<|eom_id|>", "<|eot_id|>")


@dataclass(frozen=True)
class Llama:
    """Format of Llama 3.1. A reply that does not begin with an object, or whose object is not a call, is text."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the functions, one schema per line, and how to call them."""
        return (
            "You may call these functions:\n"
            f"{to_json_lines(tools)}\n\n"
            'To call one, answer with nothing but {"name": function name, "parameters": {argument name: value}}; put '
            '"; " between several calls. Do not use variables.'
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one JSON object per call."""
        return "; ".join(to_text({"name": call.name, "parameters": call.arguments}) for call in calls)

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``ipython``."""
        return to_text({"output": content})

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return read_whole_reply(text, without_end, _read_body)


FORMAT = Llama()


def without_end(body: str) -> str:
    """Return the reply without an end-of-turn token."""
    for token in END_TOKENS:
        body = body.removesuffix(token)
    return body.strip()


def _read_body(body: str) -> list[ToolCall]:
    tagged = body.startswith(PYTHON_TAG)
    return _read_all(body, len(PYTHON_TAG) if tagged else 0, tagged)


def _read_all(text: str, position: int, tagged: bool) -> list[ToolCall]:
    """Return the calls from ``position`` on; none if the first object is not a call and no tag announces one."""
    position = skip_space(text, position)
    if not tagged and not text.startswith("{", position):
        return []
    calls: list[ToolCall] = []
    while True:
        call, position, is_call = _read_one(text, position)
        if not is_call and not tagged and not calls:
            return []
        calls.append(call)
        position = skip_space(text, position)
        if position >= len(text):
            return calls
        behind = skip_space(text, position + 1)
        if text[position] != ";" or not text.startswith("{", behind):
            calls[-1] = ToolCall(calls[-1].name, error=calls[-1].error or "text follows the call")
            return calls
        position = behind


def _read_one(text: str, start: int) -> tuple[ToolCall, int, bool]:
    """Return the call at ``start``, the position after it, and whether it is meant as a call."""
    try:
        value, end, fault, repairs = read_json_or_repaired(text, start)
    except NotJson as error:
        meant = text[start : start + 200].replace("'", '"').replace(" ", "").startswith('{"name":')
        return ToolCall("", error=str(error)), len(text), meant
    return repaired_call(as_call(value, "parameters"), repairs, fault), end, _is_call(value)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and ("parameters" in value or "arguments" in value)
