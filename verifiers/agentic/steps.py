"""Steps of a trajectory: the turns in which an agent called tools, with the outcome of each call."""

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
        name: name of the tool, empty if it could not be parsed.
        arguments: argument name → value.
        outcome: ``failed`` if the call could not be parsed, was refused, or its tool raised; ``unanswered`` if it was
            not executed, because of a limit or because the environment has no tools.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "succeeded"

    @property
    def key(self) -> str:
        """A key that is equal for equal calls."""
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
        """Whether every call succeeded."""
        return all(call.outcome == "succeeded" for call in self.calls)


def steps_of(messages: Iterable[Message]) -> list[Step]:
    """Return the turns with calls, in order.

    Outcomes come from the tool messages that the environment added after the turn, where failed calls carry ``error``.
    Results that a policy writes itself are text of its turn and do not count.
    """
    turns: list[tuple[Message, list[Message]]] = []
    for message in messages:
        if is_reply(message):
            turns.append((message, []))
        elif message["role"] == "tool" and turns:
            turns[-1][1].append(message)
    steps = [Step(tuple(_calls_with_outcomes(turn, results))) for turn, results in turns]
    return [step for step in steps if step.calls]


def calls_of(steps: Iterable[Step]) -> list[Call]:
    """Return the calls of all steps, in order."""
    return [call for step in steps for call in step.calls]


def _calls_with_outcomes(turn: Message, results: list[Message]) -> Iterable[Call]:
    asked = _requested_calls(turn)
    for number, result in enumerate(results):
        call = asked[number] if number < len(asked) else ToolCall("")
        arguments = result.get("arguments", call.arguments)
        failed = result.get("error") or ("arguments" not in result and call.error)  # a repaired call may succeed
        yield Call(str(result.get("name") or call.name), arguments, "failed" if failed else "succeeded")
    for call in asked[len(results) :]:
        yield Call(call.name, call.arguments, "failed" if call.error else "unanswered")


def _requested_calls(turn: Message) -> Sequence[ToolCall]:
    """Return the calls that a turn makes, from its ``tool_calls`` field or from Hermes' tags in its text."""
    declared = turn.get("tool_calls")
    if isinstance(declared, list) and declared:  # stored API replies may have null
        calls = [as_call(call.get("function", call) if isinstance(call, dict) else call) for call in declared]
        return [call.repaired or call for call in calls]  # the OpenAI format has arguments as text
    return read_hermes(turn["content"]).calls
