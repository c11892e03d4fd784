"""Verifier for mathematical answers: exact comparison first, then math-verify in a worker that can be killed."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..processes.worker import WorkerPool
from ..registry import verifier
from ..text.think import split_reasoning
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .collection import read_collection
from .comparison import Comparison, Undecided
from .extraction import MAX_ANSWER, WAYS, expected_answer, find_answer, find_answers, last_box, parts_of
from .form import is_undivided, restates, why_unevaluated, without_question
from .gold import read_gold
from .notation.plain import to_plain
from .quantity import read_quantity

__all__ = ["MAX_ANSWER", "WAYS", "Math", "compare_exactly", "expected_answer", "find_answer", "last_box"]

KINDS = ("latex", "expr")
"""Kinds of unmarked answers: a formula, or a number in plain text."""
FORMS = ("evaluated", "any")
"""How far an answer must be evaluated: as far as the expected one, or not at all."""

_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d+),(\d{1,2}|\d{4,})(?![\d,])")
_PROBE = r"\lfloor u\rfloor+7"
"""An answer that only a worker can compare, so that the expected answer is parsed there."""


@verifier("math")
@dataclass(frozen=True)
class Math:
    r"""The final answer is mathematically equal to ``task.answer``; reasoning in ``<think>`` does not count.

    Several different boxes that do not form one list are a hedge: each of them must be right.

    Attributes:
        extract: where to find the answer, tried in order: ``boxed`` (``\boxed{…}``), ``hash`` (the last ``#### …``),
            ``last`` (the last line if it is a number, else the value after "the final answer is", else the last
            formula, else the last number if one is expected, else the last line).
        match_types: what ``last`` looks for: ``latex`` formulas, ``expr`` numbers in plain text. With ``expr`` alone
            there are no lists, so a comma not followed by exactly three digits is a decimal comma: ``1,5``.
        precision: decimals to which a number with a decimal point may be rounded (significant digits for numbers below
            1); None (the default) never accepts a rounded number for an exact one.
        strict: whether variable names must agree, and tuples differ from sets.
        allow_set_relation_comp: whether an inequality may be given for an expected interval.
        form: ``evaluated`` refuses an answer that leaves operations to do which the expected answer does not have, such
            as a sum, an integral or a product of numbers, or that only repeats the question; ``any`` accepts it.
        default_config: use both kinds, whatever ``match_types`` says.
        cpu_seconds: CPU seconds that one comparison by math-verify may take.

    Example:
        {"verifier": "math", "completion": "So it is \\boxed{\\frac{1}{2}}.", "answer": "0.5"} -> 1.0
    """

    extract: Sequence[str] = WAYS
    match_types: Sequence[str] = KINDS
    precision: int | None = None
    strict: bool = True
    allow_set_relation_comp: bool = False
    form: str = "evaluated"
    default_config: bool = False
    cpu_seconds: float = 0.8
    row_params: ClassVar[frozenset[str]] = frozenset(
        {"allow_set_relation_comp", "default_config", "extract", "form", "match_types", "precision", "strict"}
    )

    def __post_init__(self) -> None:
        for name, known in (("extract", WAYS), ("match_types", KINDS)):
            for value in getattr(self, name):
                if value not in known:
                    raise ConfigError(f"verifier 'math': unknown {name} {value!r}; {nearest(value, known)}")
            if len(getattr(self, name)) > len(known):
                raise ConfigError(f"verifier 'math': {name} must not repeat a name, found {getattr(self, name)!r:.80}")
        if not self.extract or not self.match_types or self.cpu_seconds <= 0:
            raise ConfigError("verifier 'math': extract and match_types must not be empty, cpu_seconds must be above 0")
        if self.form not in FORMS:
            raise ConfigError(f"verifier 'math': unknown form {self.form!r}; {nearest(self.form, FORMS)}")
        if self.precision is not None and not 0 <= self.precision <= 15:
            raise ConfigError(f"verifier 'math': precision must be 0 to 15 decimals, found {self.precision!r}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, ``unparseable`` without an answer, or ``timeout`` or ``limit``."""
        try:
            gold = read_gold(case.answer)
        except DataError as error:
            return infra_error(str(error))
        _, text = split_reasoning(case.completion)
        kinds = KINDS if self.default_config else self.match_types
        if "latex" not in kinds:
            gold, text = (_DECIMAL_COMMA.sub(r"\1.\2", part) for part in (gold, text))
        answers = find_answers(text, self.extract, _is_numeric(gold), kinds)
        if not answers:
            return unparseable(f"no answer found by {', '.join(self.extract)}")
        prompt = "\n".join(str(message["content"]) for message in case.task.messages)
        parts = _items(gold, "", "()")
        if len(answers) > 1 and len(parts) == len(answers):  # each box answers one part of the question
            joined = ", ".join(answers)
            together = await self._judge(gold, joined if _items(gold, "") else f"({joined})", prompt)
            if together.passed:
                return together
        for found in answers:
            verdict = await self._judge(gold, found, prompt)
            if not verdict.passed:
                break
        if verdict.status == "wrong" and len(answers) > 1:
            return wrong(f"{len(answers)} different answers are boxed: {verdict.reason}", **verdict.evidence)
        return verdict

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the expected answer is none that anybody could match."""
        read_gold(answer)

    async def self_check(self, answer: Any) -> str:
        """Return why the expected answer ``answer`` cannot verify itself, or an empty string if it can."""
        try:
            gold = read_gold(answer)
            verdict = await self._judge(gold, gold, "")
            if verdict.passed and read_quantity(gold) is None:
                await Comparison(_workers().ask, self.cpu_seconds).equal(gold, _PROBE)
        except (DataError, Undecided) as error:
            return str(error)
        found = find_answers(f"\\boxed{{{gold}}}", ("boxed",), numeric=False)
        if not verdict.passed:
            return verdict.reason
        return "" if found == (gold,) or to_plain("".join(found)) == to_plain(gold) else f"its box reads {found!r:.80}"

    async def _judge(self, gold: str, found: str, prompt: str) -> Verdict:
        """Return the verdict on one answer: equal, and evaluated as far as the expected one."""
        gold, found = parts_of(gold), without_question(parts_of(found), prompt) if "=" not in gold else parts_of(found)
        verdict = compare_exactly(gold, found, self.precision) or await self._compare(gold, found)
        if not verdict.passed or self.form == "any" or verdict.evidence["by"] == "text":
            return verdict
        if verdict.evidence["by"] == "number":
            left = "the question's own expression" if restates(gold, found, prompt) else ""
            left = left or ("a division" if is_undivided(gold, found) else "")
        else:
            left = why_unevaluated(gold, found, prompt)
        if not left:
            return verdict
        return wrong(
            f"{found!r:.80} is not evaluated: it leaves {left}; the answer is {gold!r:.80}", found=found, by="form"
        )

    async def _compare(self, gold: str, found: str) -> Verdict:
        ask = _workers().ask
        rules = (self.precision, self.strict, self.allow_set_relation_comp)
        try:
            equal = await Comparison(ask, self.cpu_seconds, *rules).equal(gold, found)
        except Undecided as end:
            score = None if end.status == "infra_error" else 0.0
            return Verdict(score, end.status, str(end), {"found": found[:200]})
        if equal:
            return passed(found=found, by="mathematics")
        return wrong(f"expected {gold!r:.80}, found {found!r:.80}", found=found, by="mathematics")


def compare_exactly(gold: str, found: str, places: int | None = None) -> Verdict | None:
    """Return the verdict if both are the same text or both are plain numbers, else None."""
    if found == gold or (len(found) <= MAX_ANSWER and to_plain(found) == to_plain(gold)):
        return passed(found=found[:200], by="text")
    expected, value = read_quantity(gold), read_quantity(found)
    if expected is None or value is None:
        return None
    if value.equals(expected, places):
        return passed(found=found, by="number")
    return wrong(f"expected {gold:.80}, found {found:.80}", found=found, by="number")


def _items(gold: str, *brackets: str) -> tuple[str, ...]:
    """Return the parts of an expected list or tuple, at least two, or nothing."""
    gold = to_plain(parts_of(gold))
    collection = read_collection(gold) if read_quantity(gold) is None else None
    return collection.items if collection and collection.brackets in brackets else ()


def _is_numeric(gold: str) -> bool:
    """Return whether the expected answer is a number or a list of numbers."""
    items = _items(gold, "") if read_quantity(gold) is None else (gold,)
    return bool(items) and all(read_quantity(item) is not None for item in items)


@lru_cache(maxsize=1)
def _workers() -> WorkerPool:
    return WorkerPool(Path(__file__).parent / "checker" / "__main__.py", size=min(4, os.cpu_count() or 1))


os.register_at_fork(after_in_child=_workers.cache_clear)  # a forked child must not share its parent's pipes
