"""Verifier for tool calls against the declared tools and the expected calls."""

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
from .call import SILENT, ToolCall, as_call, call_key, says_something
from .declaration import Declaration, declarations
from .formats.format import ToolFormat, check_row_format, tool_format

Match = Literal["exact", "names", "none"]
Turns = Literal["last", "all"]
Credit = Literal["all", "share"]
MAX_CALLS = 256
"""Largest number of calls that are compared; more are always wrong."""
_CHOICES = {"match": get_args(Match), "turns": get_args(Turns), "credit": get_args(Credit)}


@verifier("tool_calls")
@dataclass(frozen=True)
class ToolCalls:
    r"""Every call names a declared tool, fits its schema and is made once; the calls are those of ``task.answer``.

    Arguments that are not in the schema are wrong unless it says ``additionalProperties``; 1.0 is not an integer and
    true is not a number. Calls inside closed ``<think>`` do not count.

    Attributes:
        tools: the declared tools, in the OpenAI format or as bare functions; by default ``task.info["tools"]``.
        match: how to use ``task.answer``, a list of calls ``{"name": …, "arguments": {…}}``: ``exact`` requires these
            calls in any order, ``names`` calls of these tools; ``none`` ignores it. Not used without an answer.
        turns: ``last`` checks the calls of the last reply, ``all`` those of every reply.
        credit: ``all`` scores 1.0 if nothing is wrong, else 0; ``share`` scores the right calls divided by the number
            of calls made or expected, whichever is larger.
        format: format of the calls, such as ``hermes``, ``qwen_coder``, ``llama``, ``deepseek_v31``, ``glm45``,
            ``harmony`` or ``mistral``, or your own as ``module:name``.
        strict: refuse calls that had to be repaired (single quotes, a trailing comma, no closing tag, …).
        duplicates: allow the same call twice; always allowed if ``task.answer`` contains it twice.
        required: whether a call must be made if there is no expected answer. A reply without a call must say something.

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
                raise ConfigError(f"verifier 'tool_calls': unknown {name} {value!r:.80}; {nearest(str(value), known)}")
        for name in ("strict", "duplicates", "required"):
            if not isinstance(getattr(self, name), bool):
                found = getattr(self, name)
                raise ConfigError(f"verifier 'tool_calls': {name} must be true or false, found {found!r:.80}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with the credit and a reason for each fault, ``unparseable``, or ``limit``."""
        try:
            check_row_format(case.params, self.format)
            configured = replace(self, **{f.name: case.params[f.name] for f in fields(self) if f.name in case.params})
            tools = declarations(configured.tools or case.task.info.get("tools"))
            expected = None if configured.match == "none" else expected_calls(case.answer)
            calls = configured._calls(case, tools)
            if not calls and configured._needs_no_call(expected):
                silent = not says_something(tool_format(configured.format).read(case.completion, tools))
                return unparseable(SILENT) if silent else passed("no call, and none is expected")
            return configured._verdict(calls, expected, tools)
        except (ConfigError, DataError) as error:
            return infra_error(f"{error}; repair the dataset")

    def _calls(self, case: Case, tools: Mapping[str, Declaration]) -> list[ToolCall]:
        replies = [message for message in case.messages if message["role"] == "assistant"]
        chosen = replies if self.turns == "all" else replies[-1:]
        calls = [call for reply in chosen for call in calls_of_turn(reply, tool_format(self.format), tools)]
        return calls if self.strict else [call.repaired or call for call in calls]

    def _needs_no_call(self, expected: list[ToolCall] | None) -> bool:
        return not expected if expected is not None else not self.required

    def _verdict(
        self, calls: list[ToolCall], expected: list[ToolCall] | None, tools: Mapping[str, Declaration]
    ) -> Verdict:
        if not calls:
            return wrong("missing call: none was made")
        if len(calls) > MAX_CALLS:
            return wrong(f"extra calls: {len(calls)} were made, at most {MAX_CALLS} are allowed")
        left = Counter(self._key(call) for call in expected or ())
        seen: set[Hashable] = set()
        reasons: list[str] = []
        right = 0
        for call in calls:
            found, over_limit = _call_faults(call, tools)
            if over_limit:
                return Verdict(0.0, "limit", found[0])
            found = found or self._matching_faults(call, expected, left, seen)
            reasons += found
            right += not found
        reasons += [f"missing call of {name!r:.80}" for name in self._missing_names(expected or (), left)]
        if not reasons:
            return passed(calls=len(calls))
        reason, evidence = "; ".join(reasons)[:400], {"calls": len(calls), "right": right, "faults": reasons[:20]}
        if all(call.error for call in calls):
            return unparseable(reason, **evidence)
        score = right / max(len(calls), len(expected or ())) if self.credit == "share" else 0.0
        return wrong(reason, score, **evidence)

    def _key(self, call: ToolCall) -> Hashable:
        return call.name if self.match == "names" else call_key(call)

    def _matching_faults(
        self, call: ToolCall, expected: list[ToolCall] | None, left: Counter[Hashable], seen: set[Hashable]
    ) -> list[str]:
        """Return what is wrong with a valid call besides its schema; consume the expected call that it matches."""
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

    def _missing_names(self, expected: Iterable[ToolCall], left: Counter[Hashable]) -> list[str]:
        """Return the names of the expected calls that no call matched."""
        names = {self._key(call): call.name for call in expected}
        return [names[key] for key, count in left.items() for _ in range(count)]


_FAULT_NAMES = {
    "type": "wrong type",
    "missing": "missing argument",
    "unknown": "unknown argument",
    "value": "wrong value",
    "limit": "beyond a limit",
}


def _call_faults(call: ToolCall, tools: Mapping[str, Declaration]) -> tuple[list[str], bool]:
    """Return what is wrong with a call on its own, and whether it is too large to check."""
    if call.error:
        return [f"a call cannot be read: {call.error:.200}"], False
    if call.name not in tools:
        return [f"unknown tool {call.name!r:.80}"], False
    found = faults(call.arguments, tools[call.name].closed_parameters, whole_floats=False)
    reasons = [f"{call.name:.80}: {_FAULT_NAMES[fault.kind]}: {fault}" for fault in found[:5]]
    return reasons, any(fault.kind == "limit" for fault in found)


def calls_of_turn(message: Message, form: ToolFormat, tools: Mapping[str, Declaration] | None = None) -> list[ToolCall]:
    """Return the calls of a policy turn: its ``tool_calls`` field if an API filled it, else the calls in the text."""
    declared = message.get("tool_calls")
    if isinstance(declared, list) and declared:
        return [declared_call(call) for call in declared]
    return list(form.read(str(message["content"]), tools).calls)


def declared_call(value: Any) -> ToolCall:
    """Return a call from ``{"function": {"name": …, "arguments": "…"}}`` (OpenAI) or a bare function."""
    function = value.get("function", value) if isinstance(value, dict) else value
    if isinstance(function, dict):
        function = {key: function[key] for key in ("name", "arguments", "parameters") if key in function}
    call = as_call(function)
    if is_deeper(call.arguments, MAX_DEPTH):
        return ToolCall(call.name, error=f"arguments nested deeper than {MAX_DEPTH}")
    return ToolCall(call.repaired.name, call.repaired.arguments) if call.repaired else call


def expected_calls(answer: Any) -> list[ToolCall] | None:
    """Return the calls that an answer lists, or None if there is no answer.

    Raises:
        DataError: the answer is not a list of calls.
    """
    if answer is None:
        return None
    if isinstance(answer, str):
        with suppress(NotJson):
            answer = read_json(answer)
    if not isinstance(answer, list):
        raise DataError(f"the answer must be a list of calls, found {answer!r:.80}; set match='none' to ignore it")
    calls = [declared_call(one) for one in answer]
    if broken := [one for one, call in zip(answer, calls, strict=True) if call.error]:
        raise DataError(f'an expected call must be {{"name": …, "arguments": {{…}}}}, found {broken[0]!r:.80}')
    return calls
