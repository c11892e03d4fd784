"""The verifier of tool calls against the tools that were declared, and against the calls that are expected."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, get_args

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..json_data.schema import faults
from ..json_data.text import MAX_DEPTH, NotJson, is_deeper, read_json
from ..message import Message
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .call import ToolCall, as_call, call_key
from .declaration import Declaration, declarations
from .formats.format import ToolFormat, tool_format

Match = Literal["exact", "names", "none"]
Turns = Literal["last", "all"]
Credit = Literal["all", "share"]
MAX_CALLS = 256
"""Calls that are judged at most; more are refused as too many."""
_CHOICES = {"match": get_args(Match), "turns": get_args(Turns), "credit": get_args(Credit)}


@verifier("tool_calls")
@dataclass(frozen=True)
class ToolCalls:
    r"""Each call names a declared tool, fits its schema and stands there once; and they are those of ``task.answer``.

    Arguments that a tool's schema does not know are refused unless it says ``additionalProperties``; 1.0 is no integer
    and true no number. Calls that the policy considered in closed ``<think>`` were not made.

    Attributes:
        tools: the declared tools, in the OpenAI shape or bare; ``task.info["tools"]`` where none are given.
        match: what ``task.answer``, a list of calls ``{"name": …, "arguments": {…}}``, asks for where there is one:
            ``exact`` those calls in any order; ``names`` calls of those tools; ``none``: the answer is something else.
        turns: ``last``: the calls of the last reply; ``all``: of every reply.
        credit: ``all``: 1.0 if nothing is wrong, else 0; ``share``: right calls by calls made or expected, the larger
            number.
        format: how calls are written: ``hermes``, ``qwen``, ``qwen_coder``, ``llama``, ``llama_pythonic``.
        strict: refuse calls that had to be repaired (single quotes, a trailing comma, no closing tag, …).
        duplicates: allow the same call twice; always where ``task.answer`` holds it twice.
        required: without an answer to say so, whether there must be a call at all.

    Example:
        {"verifier": "tool_calls",
         "completion": "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call>",
         "answer": [{"name": "f", "arguments": {"x": 1}}],
         "params": {"tools": [{"name": "f", "parameters": {"properties": {"x": {"type": "integer"}}}}]}} -> 1.0
        {"verifier": "tool_calls",
         "completion": "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"1\"}}</tool_call>",
         "answer": null,
         "params": {"tools": [{"name": "f", "parameters": {"properties": {"x": {"type": "integer"}}}}]}} -> 0.0
    """

    tools: Sequence[dict[str, Any]] | None = None
    match: Match = "exact"
    turns: Turns = "last"
    credit: Credit = "all"
    format: str = "hermes"
    strict: bool = True
    duplicates: bool = False
    required: bool = True

    instances: ClassVar[tuple[str, ...]] = ("exact", "names", "schema")
    row_params: ClassVar[tuple[str, ...]] = (
        *("tools", "match", "turns", "credit", "format", "strict"),
        *("duplicates", "required"),
    )

    def __post_init__(self) -> None:
        tool_format(self.format)
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"verifier 'tool_calls': no {name} is {value!r:.80}; {nearest(str(value), known)}")
        for name in ("strict", "duplicates", "required"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"verifier 'tool_calls': {name} is true or false, found {getattr(self, name)!r:.80}")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` with the score of the credit, ``wrong`` with a reason for each fault, ``unparseable``, ``limit``."""
        try:
            mine = replace(self, **{f.name: case.params[f.name] for f in fields(self) if f.name in case.params})
            tools = declarations(mine.tools or case.task.info.get("tools"))
            expected = None if mine.match == "none" else expected_calls(case.answer)
            calls = mine._calls(case, tools)
            return mine._judged(calls, expected, tools)
        except (ConfigError, DataError) as error:
            return infra_error(f"{error}; repair the dataset")

    def _calls(self, case: Case, tools: Mapping[str, Declaration]) -> list[ToolCall]:
        replies = [message for message in case.messages if message["role"] == "assistant"]
        chosen = replies if self.turns == "all" else replies[-1:]
        calls = [call for reply in chosen for call in calls_of_turn(reply, tool_format(self.format), tools)]
        return calls if self.strict else [call.repaired or call for call in calls]

    def _judged(
        self, calls: list[ToolCall], expected: list[ToolCall] | None, tools: Mapping[str, Declaration]
    ) -> Verdict:
        if not calls:
            none_wanted = not expected if expected is not None else not self.required
            return passed("no call, and none is expected") if none_wanted else wrong("missing call: none was made")
        if len(calls) > MAX_CALLS:
            return wrong(f"extra calls: {len(calls)} were made, {MAX_CALLS} are judged at most")
        left = Counter(self._key(call) for call in expected or ())
        seen: set[Hashable] = set()
        reasons: list[str] = []
        right = 0
        for call in calls:
            found, over_limit = _call_faults(call, tools)
            if over_limit:
                return Verdict(0.0, "limit", found[0])
            found = found or self._place_faults(call, expected, left, seen)
            reasons += found
            right += not found
        reasons += [f"missing call of {name!r:.80}" for name in self._names_left(expected or (), left)]
        if not reasons:
            return passed(calls=len(calls))
        reason, evidence = "; ".join(reasons)[:400], {"calls": len(calls), "right": right, "faults": reasons[:20]}
        if all(call.error for call in calls):
            return unparseable(reason, **evidence)
        score = right / max(len(calls), len(expected or ())) if self.credit == "share" else 0.0
        return wrong(reason, score, **evidence)

    def _key(self, call: ToolCall) -> Hashable:
        return call.name if self.match == "names" else call_key(call)

    def _place_faults(
        self, call: ToolCall, expected: list[ToolCall] | None, left: Counter[Hashable], seen: set[Hashable]
    ) -> list[str]:
        """What is wrong with a valid call among the others; it takes its place among those that are expected."""
        again = call_key(call) in seen
        seen.add(call_key(call))
        if expected is None:
            return [f"duplicated call of {call.name!r:.80}"] if again and not self.duplicates else []
        if left[self._key(call)] > 0 and not (again and self.match == "names" and not self.duplicates):
            left[self._key(call)] -= 1
            return []
        if again:
            return [] if self.duplicates else [f"duplicated call of {call.name!r:.80}"]
        if any(one.name == call.name and left[self._key(one)] > 0 for one in expected):
            return [f"{call.name:.80}: other arguments than expected"]
        return [f"extra call of {call.name!r:.80}"]

    def _names_left(self, expected: Iterable[ToolCall], left: Counter[Hashable]) -> list[str]:
        """The names of the expected calls whose places no call took."""
        names = {self._key(call): call.name for call in expected}
        return [names[key] for key, count in left.items() for _ in range(count)]


_WORDS = {
    "type": "wrong type",
    "missing": "missing argument",
    "unknown": "unknown argument",
    "value": "wrong value",
    "limit": "beyond a limit",
}


def _call_faults(call: ToolCall, tools: Mapping[str, Declaration]) -> tuple[list[str], bool]:
    """What is wrong with a call by itself, and whether it was too much to judge."""
    if call.error:
        return [f"a call cannot be read: {call.error:.200}"], False
    if call.name not in tools:
        return [f"unknown tool {call.name!r:.80}"], False
    found = faults(call.arguments, tools[call.name].closed_parameters, whole_floats=False)
    reasons = [f"{call.name:.80}: {_WORDS[fault.kind]}: {fault}" for fault in found[:5]]
    return reasons, any(fault.kind == "limit" for fault in found)


def calls_of_turn(message: Message, form: ToolFormat, tools: Mapping[str, Declaration] | None = None) -> list[ToolCall]:
    """The calls that a turn of the policy makes: those that an API declared beside its text, else those in the text."""
    declared = message.get("tool_calls")
    if isinstance(declared, list) and declared:
        return [declared_call(call) for call in declared]
    return list(form.read(str(message["content"]), tools).calls)


def declared_call(value: Any) -> ToolCall:
    """A call in the OpenAI shape, ``{"function": {"name": …, "arguments": "…"}}``, or bare; arguments may be text."""
    function = value.get("function", value) if isinstance(value, dict) else value
    if isinstance(function, dict):
        function = {key: function[key] for key in ("name", "arguments", "parameters") if key in function}
    call = as_call(function)
    if is_deeper(call.arguments, MAX_DEPTH):
        return ToolCall(call.name, error=f"arguments nested deeper than {MAX_DEPTH}")
    return ToolCall(call.repaired.name, call.repaired.arguments) if call.repaired else call


def expected_calls(answer: Any) -> list[ToolCall] | None:
    """The calls that an answer asks for; None where there is no answer.

    Raises:
        DataError: it is something else.
    """
    if answer is None:
        return None
    if isinstance(answer, str):
        with suppress(NotJson):
            answer = read_json(answer)
    if not isinstance(answer, list):
        raise DataError(f"the answer is a list of calls, found {answer!r:.80}; give match='none' where it is not meant")
    calls = [declared_call(one) for one in answer]
    if broken := [one for one, call in zip(answer, calls, strict=True) if call.error]:
        raise DataError(f'an expected call is {{"name": …, "arguments": {{…}}}}, found {broken[0]!r:.80}')
    return calls
