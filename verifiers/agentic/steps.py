"""A trajectory as steps: the turns in which an agent called tools, and how each call went."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..message import Message, is_reply
from ..tool_calling.call import ToolCall, as_call
from ..tool_calling.formats.hermes import read_hermes

Outcome = Literal["succeeded", "failed", "unanswered"]


@dataclass(frozen=True)
class Call:
    """One tool call.

    Attributes:
        name: the tool's, empty where it could not be read.
        arguments: by name.
        outcome: ``failed`` where it could not be read, was refused, or its tool raised; ``unanswered`` where it was not
            carried out, since a limit came first or the environment has no tools.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "succeeded"

    @property
    def key(self) -> str:
        """Equal for equal calls."""
        try:
            return json.dumps([self.name, self.arguments], sort_keys=True)
        except RecursionError:
            return self.name


@dataclass(frozen=True)
class Step:
    """The calls of one turn."""

    calls: tuple[Call, ...]

    @property
    def failed(self) -> bool:
        """Whether any call failed."""
        return any(call.outcome == "failed" for call in self.calls)

    @property
    def succeeded(self) -> bool:
        """Whether every call did what it should."""
        return all(call.outcome == "succeeded" for call in self.calls)


def steps_of(messages: Iterable[Message]) -> list[Step]:
    """The turns with calls, in order.

    How a call went is what the environment wrote: the tool messages behind the turn, of which those of failed calls
    carry ``error``. Results that a policy writes itself are text of its turn and no results.
    """
    turns: list[tuple[Message, list[Message]]] = []
    for message in messages:
        if is_reply(message):
            turns.append((message, []))
        elif message["role"] == "tool" and turns:
            turns[-1][1].append(message)
    steps = [Step(tuple(_calls(turn, results))) for turn, results in turns]
    return [step for step in steps if step.calls]


def calls_of(steps: Iterable[Step]) -> list[Call]:
    """The calls of all steps, in order."""
    return [call for step in steps for call in step.calls]


def _calls(turn: Message, results: list[Message]) -> Iterable[Call]:
    asked = _asked(turn)
    for number, result in enumerate(results):
        call = asked[number] if number < len(asked) else ToolCall("")
        arguments = result.get("arguments", call.arguments)
        failed = result.get("error") or ("arguments" not in result and call.error)  # a repaired call may succeed
        yield Call(str(result.get("name") or call.name), arguments, "failed" if failed else "succeeded")
    for call in asked[len(results) :]:
        yield Call(call.name, call.arguments, "failed" if call.error else "unanswered")


def _asked(turn: Message) -> Sequence[ToolCall]:
    """The calls that a turn makes, in the OpenAI shape or as Hermes writes them."""
    declared = turn.get("tool_calls")
    if isinstance(declared, list) and declared:  # stored replies of an API may say null
        calls = [as_call(call.get("function", call) if isinstance(call, dict) else call) for call in declared]
        return [call.repaired or call for call in calls]  # there the arguments are text
    return read_hermes(turn["content"]).calls
