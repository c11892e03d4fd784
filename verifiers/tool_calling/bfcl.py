"""Verifier for function calls by the rules of the Berkeley Function-Calling Leaderboard (BFCL)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .call import SILENT, ToolCall, call_key, says_something
from .declaration import Declaration, declarations
from .formats.format import check_row_format, tool_format
from .pairing import maximum_matching
from .possible_answers import PossibleAnswer, call_faults, possible_answers

CATEGORIES = ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance", "relevance")
MAX_CALLS = 64
"""Largest number of calls that are compared; more are always wrong."""


@verifier("bfcl")
@dataclass(frozen=True)
class Bfcl:
    r"""The calls are those of ``task.answer``, in any order, by BFCL's rules.

    Names must match exactly, unknown arguments are wrong, and required arguments (or those without an optional value in
    the possible answers) must be present. An integer may replace a float, but not the reverse, and a boolean replaces
    neither. Strings are compared in lower case, without spaces and ``,./-_*^``. Unlike BFCL, calls and answers are
    matched optimally instead of greedily, ``true`` differs from 1 also inside lists and objects, an integer
    may replace a float also inside lists, and strings inside objects are compared like all others.

    Attributes:
        functions: the declared functions, in BFCL's or OpenAI's format; by default ``task.info["functions"]`` or
            ``task.info["tools"]``.
        category: ``simple``, ``multiple``, ``parallel``, ``parallel_multiple``: exactly the calls of the answer;
            ``irrelevance``: an answer without a call, not even one that cannot be parsed; ``relevance``: any call of a
            declared function. BFCL's longer names (``live_simple``, ``simple_python``) are accepted.
        format: format of the calls, such as ``hermes``, ``qwen_coder``, ``llama``, ``deepseek_v31``, ``glm45``,
            ``harmony`` or ``mistral``, or your own as ``module:name``.
        strict: refuse calls that had to be repaired (single quotes, a trailing comma, no closing tag, …).

    Example:
        {"verifier": "bfcl",
         "completion": "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call>",
         "answer": [{"f": {"x": [1, 2], "y": [""]}}],
         "params": {"category": "simple", "functions": [{"name": "f", "parameters": {"type": "dict",
         "properties": {"x": {"type": "float"}, "y": {"type": "string"}}, "required": ["x"]}}]}} -> 1.0
    """

    functions: Sequence[dict[str, Any]] | None = None
    category: str = "simple"
    format: str = "hermes"
    strict: bool = True

    instances: ClassVar[tuple[str, ...]] = CATEGORIES
    row_params: ClassVar[tuple[str, ...]] = ("functions", "category", "format", "strict")

    def __post_init__(self) -> None:
        tool_format(self.format)
        if not isinstance(self.category, str) or _category(self.category) not in CATEGORIES:
            cure = nearest(str(self.category), CATEGORIES)
            raise ConfigError(f"verifier 'bfcl': there is no category {self.category!r:.80}; {cure}")
        if not isinstance(self.strict, bool):
            raise ConfigError(f"verifier 'bfcl': strict must be true or false, found {self.strict!r:.80}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with a reason for each call, or ``unparseable`` if a call cannot be parsed."""
        try:
            check_row_format(case.params, self.format)
            configured = replace(self, **{f.name: case.params[f.name] for f in fields(self) if f.name in case.params})
            return configured._verdict(case)
        except (ConfigError, DataError) as error:
            return infra_error(f"{error}; repair the dataset")

    def _verdict(self, case: Case) -> Verdict:
        info = case.task.info
        functions = declarations(self.functions or info.get("functions") or info.get("tools"))
        if not functions:
            raise DataError("no functions are declared")
        category = _category(self.category)
        expected = [] if category in _ANY_ANSWER else possible_answers(case.answer, functions)
        reading = tool_format(self.format).read(case.completion, functions)
        calls = reading.calls if self.strict else reading.lenient()
        if category == "irrelevance":
            if calls:
                return wrong(f"extra call: {len(calls)} were made, but no function helps")
            return passed("no call") if says_something(reading) else unparseable(SILENT)
        if not calls:
            thought = "; calls inside the reasoning do not count" if reading.considered else ""
            return wrong(f"missing call: none was made{thought}")
        if unread := [call for call in calls if call.error]:
            return unparseable(f"a call cannot be read: {unread[0].error:.200}", calls=len(calls), unread=len(unread))
        if category == "relevance":
            unknown = [call.name for call in calls if call.name not in functions]
            return wrong(f"unknown function {unknown[0]!r:.80}") if unknown else passed(calls=len(calls))
        return _compare_calls(calls, expected, functions)


_ANY_ANSWER = ("irrelevance", "relevance")


def _category(name: str) -> str:
    """Return BFCL's category name without the prefix or suffix for the source of its questions."""
    return name.removeprefix("live_").removesuffix("_python")


def _compare_calls(
    calls: Sequence[ToolCall], expected: list[PossibleAnswer], functions: Mapping[str, Declaration]
) -> Verdict:
    """Return ``ok`` if calls and answers pair up, else ``wrong`` with the reasons."""
    if len(calls) > MAX_CALLS:
        return wrong(f"extra calls: {len(calls)} were made, {len(expected)} are expected")
    faults = [[call_faults(call, answer) for answer in expected] for call in calls]
    pairs = maximum_matching([[j for j, found in enumerate(row) if not found] for row in faults])
    if None not in pairs and len(calls) == len(expected):
        return passed(calls=len(calls))
    reasons = _explain_mismatch(calls, expected, faults, pairs, functions)
    return wrong("; ".join(reasons)[:400], faults=reasons[:20])


def _explain_mismatch(
    calls: Sequence[ToolCall],
    expected: list[PossibleAnswer],
    faults: list[list[list[str]]],
    pairs: list[int | None],
    functions: Mapping[str, Declaration],
) -> list[str]:
    """Return a reason for each unpaired call, by the closest answer of its name, and for each unpaired answer."""
    left = [j for j in range(len(expected)) if j not in pairs]
    keys = [call_key(call) for call in calls]
    reasons = []
    for call, found, pair, first in zip(calls, faults, pairs, map(keys.index, keys), strict=True):
        if pair is not None:
            continue
        near = sorted((len(found[j]), j) for j in left if expected[j].name == call.name)
        if call.name not in functions:
            reasons.append(f"unknown function {call.name!r:.80}")
        elif near:
            left.remove(near[0][1])
            reasons.append(f"{call.name:.80}: {', '.join(found[near[0][1]])}")
        elif calls[first] is not call:
            reasons.append(f"duplicated call of {call.name!r:.80}")
        else:
            reasons.append(f"extra call of {call.name!r:.80}")
    return reasons + [f"missing call of {expected[j].name!r:.80}" for j in left]
