"""Tool calls parsed from a model's reply, with repaired versions of calls that break the format."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from ..json_data.text import NotJson, json_key, read_json
from ..text.visible import visible


@dataclass(frozen=True)
class ToolCall:
    """One call as the model wrote it.

    Attributes:
        name: name of the tool, empty if it could not be parsed.
        arguments: argument name → value.
        error: why the call breaks its format; empty if it does not.
        repaired: the intended call, if this one has an error but is complete; never for a truncated call.
        repairs: in a repaired call, what was wrong with the original.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    repaired: "ToolCall | None" = None
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A parsed reply.

    Attributes:
        calls: the calls that it makes, in order; those that could not be parsed have an ``error``.
        text: text outside calls and reasoning.
        reasoning: content of ``<think>`` or ``<scratch_pad>``.
        considered: calls inside closed reasoning, which do not count as made.
    """

    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    reasoning: str = ""
    considered: tuple[ToolCall, ...] = ()

    def lenient(self) -> tuple[ToolCall, ...]:
        """Return the calls, repaired where possible."""
        return tuple(call.repaired or call for call in self.calls)


SILENT = "the reply is empty; without a call it must answer, or say that no tool helps"


def says_something(reading: Reading) -> bool:
    """Return whether the text of a reply without calls has a letter or a digit that a reader sees."""
    return any(map(str.isalnum, visible(reading.text)))


def as_call(value: Any, key: str = "arguments") -> ToolCall:
    """Return the call in a JSON value: an object with exactly ``name`` and, optionally, ``key``."""
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return ToolCall("", error=f'a call is an object with "name" and "{key}"')
    repairs = []
    given = [other for other in ("arguments", "parameters") if other in value]
    if len(given) > 1:
        return ToolCall(name, error='a call has "arguments" or "parameters", not both')
    if given and given[0] != key:
        repairs.append(f'"{given[0]}" in place of "{key}"')
    arguments = value[given[0]] if given else {}
    if isinstance(arguments, str):
        repairs.append(f'"{key}" as text')
        try:
            arguments = read_json(arguments)
        except NotJson:
            arguments = None
    if not isinstance(arguments, dict):
        return ToolCall(name, error=f'"{key}" is not an object')
    if extra := sorted(set(value) - {"name", *given}):
        repairs.append(f"more than a name and arguments: {', '.join(map(repr, extra[:3]))}")
    return repaired_call(ToolCall(name, arguments), repairs)


def repaired_call(call: ToolCall, repairs: list[str], error: str = "") -> ToolCall:
    """Return ``call`` marked as repaired, or unchanged without ``repairs``; ``error`` replaces the default error."""
    meant = call.repaired or call
    if meant.error:
        return ToolCall(call.name, error=error or call.error)
    every = (*repairs, *meant.repairs)
    if not every:
        return call
    whole = ToolCall(meant.name, meant.arguments, repairs=every)
    return ToolCall(meant.name, error=error or "; ".join(every), repaired=whole)


def call_key(call: ToolCall) -> Hashable:
    """Return a key that is equal for calls with equal name and arguments."""
    return call.name, json_key(call.arguments)
