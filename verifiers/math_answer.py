"""The verifier of mathematical answers: exact paths of our own first, math-verify in a killable worker behind them."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .case import Case
from .errors import ConfigError, nearest
from .quantity import NUMERAL, plain, read_quantity
from .registry import verifier
from .think import split_reasoning
from .verdict import Verdict, infra_error, passed, unparseable, wrong
from .worker import WorkerPool

WAYS = ("boxed", "hash", "last")
"""How an answer may be found, in the order in which they are tried."""

MAX_ANSWER = 2000
"""Characters; a longer answer is not given to math-verify."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASH = re.compile(r"####[ \t]*(.+)")
_LAST_NUMBER = re.compile(rf"(?<![\w.\-])[-−]?\$?[-−]?(?>{NUMERAL})(?:\s?/\s?\d+)?(?:\s?\\?%)?", re.ASCII)
_FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_LEAD_IN = re.compile(r"^.*(?:answer|result|solution)\s*(?:is|:|=)+\s*:?\s*", re.IGNORECASE)


@verifier("math")
@dataclass(frozen=True)
class Math:
    r"""The final answer equals ``task.answer``, as mathematics; reasoning in ``<think>`` does not count.

    Attributes:
        extract: where the answer stands, in the order in which it is looked for: ``boxed`` (the last ``\boxed{…}``),
            ``hash`` (the last ``#### …``), ``last`` (the last line if it is a number, else the last formula, else the
            last number where one is expected, else the last line).
        cpu_seconds: CPU time that one comparison by math-verify may take.
    """

    extract: Sequence[str] = WAYS
    cpu_seconds: float = 1.0

    def __post_init__(self) -> None:
        for way in self.extract:
            if way not in WAYS:
                raise ConfigError(f"verifier 'math': extract has no way {way!r}; {nearest(way, WAYS)}")
        if not self.extract or self.cpu_seconds <= 0:
            raise ConfigError("verifier 'math' needs at least one way in extract, and cpu_seconds above 0")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, ``wrong``, ``unparseable`` without an answer, ``timeout`` or ``limit`` where it is too much."""
        gold = "" if case.answer is None else expected_answer(str(case.answer))
        if not gold:
            return infra_error("the task has no answer to compare with; repair the dataset")
        _, text = split_reasoning(case.completion)
        found = find_answer(text, self.extract, numeric=read_quantity(gold) is not None)
        if not found:
            return unparseable(f"no answer found by {', '.join(self.extract)}")
        verdict = compare_exactly(gold, found)
        return verdict if verdict is not None else await self._compare_symbolically(gold, found)

    async def _compare_symbolically(self, gold: str, found: str) -> Verdict:
        if len(found) > MAX_ANSWER:
            return Verdict(0.0, "limit", f"the answer has {len(found)} characters, more than {MAX_ANSWER}")
        outcome = await _workers().ask({"gold": gold, "answer": found}, self.cpu_seconds)
        if outcome.status == "infra_error":
            return infra_error(f"math-verify: {outcome.reason}", found=found)
        if outcome.status != "ok":
            return Verdict(0.0, outcome.status, f"math-verify: {outcome.reason}", {"found": found})
        match outcome.answer:
            case {"equal": True}:
                return passed(found=found, by="math-verify")
            case {"unparseable": "gold"}:
                return infra_error(f"the task's answer is not mathematics: {gold!r:.80}; repair the dataset")
            case {"unparseable": _}:
                return unparseable(f"the answer is not mathematics: {found!r:.80}", found=found)
        return wrong(f"expected {gold!r:.80}, found {found!r:.80}", found=found, by="math-verify")


def expected_answer(text: str) -> str:
    """The answer that a dataset's field holds: inside its box, behind its ``####``, or all of it."""
    return find_answer(text, ("boxed", "hash"), numeric=False) or text.strip()


def find_answer(text: str, ways: Sequence[str], numeric: bool) -> str:
    """The final answer in ``text`` by the first of ``ways`` that finds one, else an empty string."""
    for way in ways:
        if way == "boxed":
            found = last_box(text)
        elif way == "hash":
            found = matches[-1] if (matches := _HASH.findall(text)) else ""
        else:
            found = _last(text[-MAX_ANSWER:], numeric)
        if found := found.strip():
            return found
    return ""


def last_box(text: str) -> str:
    r"""The content of the last ``\boxed{…}`` whose braces are balanced, else an empty string."""
    for start in reversed([match.end() for match in _BOX.finditer(text)][-8:]):
        if (content := _braced(text, start)) is not None:
            return content
    return ""


def compare_exactly(gold: str, found: str) -> Verdict | None:
    """The verdict where both are one text or both are plain numbers, else None."""
    if found == gold or (len(found) <= MAX_ANSWER and plain(found) == plain(gold)):
        return passed(found=found[:200], by="text")
    expected, value = read_quantity(gold), read_quantity(found)
    if expected is None or value is None:
        return None
    if value.equals(expected):
        return passed(found=found, by="number")
    return wrong(f"expected {gold:.80}, found {found:.80}", found=found, by="number")


def _braced(text: str, start: int) -> str | None:
    """What stands between ``start`` and the brace that closes the one before it."""
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return text[start : match.start()]
    return None


def _last(text: str, numeric: bool) -> str:
    lines = text.strip().splitlines()
    line = _LEAD_IN.sub("", lines[-1]).strip().removesuffix(".") if lines else ""
    if read_quantity(line) is not None:
        return line
    formula = ([None, *_FORMULA.finditer(text)])[-1]
    number = ([None, *_LAST_NUMBER.finditer(text)])[-1]
    if formula and not (numeric and number and number.start() > formula.end()):
        return formula[0]
    if numeric:
        return number[0] if number else ""
    return line


@lru_cache(maxsize=1)
def _workers() -> WorkerPool:
    return WorkerPool(Path(__file__).with_name("math_worker.py"), size=min(4, os.cpu_count() or 1))


os.register_at_fork(after_in_child=_workers.cache_clear)  # a forked child must not share its parent's pipes
