"""Tool calls that a model wrote: as they were read, strictly, and what a repair would make of those that were not."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from ..json_data.text import NotJson, json_key, read_json


@dataclass(frozen=True)
class ToolCall:
    """One call as the model wrote it.

    Attributes:
        name: the tool's name, empty where it could not be read.
        arguments: by name.
        error: why the call could not be read as its format asks, empty where it could.
        repaired: the call that was meant, where it has an error but is whole; never of a call that was cut off.
        repairs: of a repaired call, what was wrong with it.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    repaired: "ToolCall | None" = None
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a reply holds.

    Attributes:
        calls: the calls that it makes, in order; those that could not be read have an ``error``.
        text: what it says beside them.
        reasoning: what stands in ``<think>`` or ``<scratch_pad>``.
        considered: calls that it wrote into reasoning that it closed, and so did not make.
    """

    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    reasoning: str = ""
    considered: tuple[ToolCall, ...] = ()

    def lenient(self) -> tuple[ToolCall, ...]:
        """The calls, repaired where that can be done."""
        return tuple(call.repaired or call for call in self.calls)


def as_call(value: Any, key: str = "arguments") -> ToolCall:
    """The call that a JSON value is: an object with exactly ``name`` and ``key``; the latter may be left out."""
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
    """``call`` as it is reported after ``repairs``; none leave it as it is. ``error`` says more than they do."""
    meant = call.repaired or call
    if meant.error:
        return ToolCall(call.name, error=error or call.error)
    every = (*repairs, *meant.repairs)
    if not every:
        return call
    whole = ToolCall(meant.name, meant.arguments, repairs=every)
    return ToolCall(meant.name, error=error or "; ".join(every), repaired=whole)


def call_key(call: ToolCall) -> Hashable:
    """A key that calls share exactly where name and arguments are equal."""
    return call.name, json_key(call.arguments)
