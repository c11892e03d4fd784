"""The verifier of function calls by the rules of the Berkeley Function-Calling Leaderboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .call import ToolCall, call_key
from .declaration import Declaration, declarations
from .formats.format import tool_format
from .pairing import largest_pairing
from .possible_answers import PossibleAnswer, call_faults, possible_answers

CATEGORIES = ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance", "relevance")
MAX_CALLS = 64
"""Calls that are compared at most; more than that are too many, whatever they say."""


@verifier("bfcl")
@dataclass(frozen=True)
class Bfcl:
    r"""The calls are those of ``task.answer``, in any order, as BFCL judges them.

    A name is exact, no argument is unknown, those that are required (or not optional among the possible answers) are
    there. An integer may serve for a float, never a float for an integer nor a boolean for either; strings are compared
    in lower case, without spaces and ``,./-_*^``. Beyond BFCL: calls and answers are paired as well as they can be, not
    one by one as they come; ``true`` is not 1 inside lists and objects either; an integer may serve for a float inside
    lists too; strings inside objects are compared as all others.

    Attributes:
        functions: the declared functions, as BFCL has them or in the OpenAI shape; ``task.info["functions"]`` or
            ``task.info["tools"]`` where none are given.
        category: ``simple``, ``multiple``, ``parallel``, ``parallel_multiple``: the calls of the answer, no more and no
            less; ``irrelevance``: no call, not even one that cannot be read; ``relevance``: any call of a declared
            function. BFCL's longer names (``live_simple``, ``simple_python``) do too.
        format: how calls are written: ``hermes``, ``qwen``, ``qwen_coder``, ``llama``, ``llama_pythonic``.
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
            raise ConfigError(f"verifier 'bfcl': no category is named {self.category!r:.80}; {cure}")
        if not isinstance(self.strict, bool):
            raise ConfigError(f"verifier 'bfcl': strict is true or false, found {self.strict!r:.80}")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0; ``wrong`` with a reason for each call; ``unparseable`` where a call cannot be read."""
        try:
            mine = replace(self, **{f.name: case.params[f.name] for f in fields(self) if f.name in case.params})
            return mine._judged(case)
        except (ConfigError, DataError) as error:
            return infra_error(f"{error}; repair the dataset")

    def _judged(self, case: Case) -> Verdict:
        info = case.task.info
        functions = declarations(self.functions or info.get("functions") or info.get("tools"))
        if not functions:
            raise DataError("no functions are declared")
        category = _category(self.category)
        expected = [] if category in _ANY_ANSWER else possible_answers(case.answer, functions)
        reading = tool_format(self.format).read(case.completion, functions)
        calls = reading.calls if self.strict else reading.lenient()
        if category == "irrelevance":
            return wrong(f"{len(calls)} calls where no function helps: an extra call") if calls else passed("no call")
        if not calls:
            thought = "; those in its reasoning were not made" if reading.considered else ""
            return wrong(f"missing call: none was made{thought}")
        if unread := [call for call in calls if call.error]:
            return unparseable(f"a call cannot be read: {unread[0].error:.200}", calls=len(calls), unread=len(unread))
        if category == "relevance":
            unknown = [call.name for call in calls if call.name not in functions]
            return wrong(f"unknown function {unknown[0]!r:.80}") if unknown else passed(calls=len(calls))
        return _compared(calls, expected, functions)


_ANY_ANSWER = ("irrelevance", "relevance")


def _category(name: str) -> str:
    """BFCL's own name without what says where its questions come from."""
    return name.removeprefix("live_").removesuffix("_python")


def _compared(
    calls: Sequence[ToolCall], expected: list[PossibleAnswer], functions: Mapping[str, Declaration]
) -> Verdict:
    """``ok`` where calls and answers pair up, else ``wrong`` with what keeps them from it."""
    if len(calls) > MAX_CALLS:
        return wrong(f"extra calls: {len(calls)} were made, {len(expected)} are expected")
    faults = [[call_faults(call, answer) for answer in expected] for call in calls]
    pairs = largest_pairing([[j for j, found in enumerate(row) if not found] for row in faults])
    if None not in pairs and len(calls) == len(expected):
        return passed(calls=len(calls))
    reasons = _reasons(calls, expected, faults, pairs, functions)
    return wrong("; ".join(reasons)[:400], faults=reasons[:20])


def _reasons(
    calls: Sequence[ToolCall],
    expected: list[PossibleAnswer],
    faults: list[list[list[str]]],
    pairs: list[int | None],
    functions: Mapping[str, Declaration],
) -> list[str]:
    """A reason for each call without an answer, told from the nearest answer of its name, and for each left over."""
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
