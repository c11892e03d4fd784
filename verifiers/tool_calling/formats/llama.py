"""The format of Llama 3.1: the whole reply is a JSON object with ``name`` and ``parameters``, or several of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...json_data.text import NotJson, read_json_at, skip_space, to_text
from ...text.think import split_reasoning
from ..call import Reading, ToolCall, as_call, repaired_call
from ..declaration import Declaration, as_lines
from .repair import read_repaired

PYTHON_TAG = "<|python_tag|>"
END_TOKENS = ("<|eom_id|>", "<|eot_id|>")


@dataclass(frozen=True)
class Llama:
    """Calls stand alone: a reply that begins otherwise, or whose object is no call, is text."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Functions, a schema a line, and how to call them."""
        return (
            "You may call these functions:\n"
            f"{as_lines(tools)}\n\n"
            'To call one, answer with nothing but {"name": function name, "parameters": {argument name: value}}; put '
            '"; " between several calls. Do not use variables.'
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """An object each."""
        return "; ".join(to_text({"name": call.name, "parameters": call.arguments}) for call in calls)

    def write_result(self, name: str, content: str) -> str:
        """The content of a turn of role ``ipython``."""
        return to_text({"output": content})

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """The calls in a reply."""
        reasoning, body = split_reasoning(text)
        body = without_end(body)
        tagged = body.startswith(PYTHON_TAG)
        calls = _read_all(body, len(PYTHON_TAG) if tagged else 0, tagged)
        return Reading(tuple(calls), "" if calls else body, reasoning)


FORMAT = Llama()


def without_end(body: str) -> str:
    """The reply without the token that ends it, where that is part of the text."""
    for token in END_TOKENS:
        body = body.removesuffix(token)
    return body.strip()


def _read_all(text: str, position: int, tagged: bool) -> list[ToolCall]:
    """The calls from ``position`` on; none where the first is no call and no tag says that it should be."""
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
    """The call at ``start``, the position after it, and whether it means to be one."""
    try:
        value, end = read_json_at(text, start)
        return as_call(value, "parameters"), end, _is_call(value)
    except NotJson as error:
        fault = f"cut off: {error}" if error.at_end else f"not JSON: {error}"
    try:
        value, end, repairs = read_repaired(text, start)
    except NotJson:
        meant = text[start : start + 200].replace("'", '"').replace(" ", "").startswith('{"name":')
        return ToolCall("", error=fault), len(text), meant
    return repaired_call(as_call(value, "parameters"), repairs, fault), end, _is_call(value)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and ("parameters" in value or "arguments" in value)
