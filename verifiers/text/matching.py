"""Verifiers that compare the answer as text or as a number."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import ConfigError
from ..math.quantity import NUMERAL, read_quantity
from ..registry import verifier
from ..think import split_reasoning
from ..verdict import Verdict, infra_error, passed, unparseable, wrong

_NUMBER = re.compile(rf"(?:(?<!\w)[-+−])?(?:{NUMERAL})", re.ASCII)


@verifier("exact")
@dataclass(frozen=True)
class Exact:
    """The answer, reasoning and surrounding white space removed, equals ``task.answer``.

    Attributes:
        ignore_case: compare in lower case.

    Example:
        {"verifier": "exact", "completion": "Paris", "answer": "paris", "params": {"ignore_case": true}} -> 1.0
    """

    ignore_case: bool = False

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, or ``wrong``."""
        _, found = split_reasoning(case.completion)
        if case.answer is None:
            return infra_error("the task has no answer to compare with; repair the dataset")
        expected = str(case.answer).strip()
        same = found.lower() == expected.lower() if self.ignore_case else found == expected
        return (
            passed(found=found) if same else wrong(f"expected {expected!r:.80}, found {found!r:.80}", found=found[:200])
        )


@verifier("number")
@dataclass(frozen=True)
class Number:
    """The last number in the answer equals ``task.answer``.

    Attributes:
        tolerance: largest absolute difference that still passes.

    Example:
        {"verifier": "number", "completion": "3 apples cost 1.50", "answer": 1.5} -> 1.0
    """

    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise ConfigError(f"verifier 'number': tolerance is finite and not negative, found {self.tolerance!r}")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, ``wrong``, or ``unparseable`` where there is no number."""
        expected = read_quantity(str(case.answer))
        if expected is None:
            return infra_error(f"the task's answer is not a number: {case.answer!r:.80}; repair the dataset")
        _, text = split_reasoning(case.completion)
        found = _NUMBER.findall(text[-2000:])
        if not found:
            return unparseable("no number in the answer")
        value = read_quantity(found[-1])
        if value is not None and abs(value.value - expected.value) <= Fraction(self.tolerance):
            return passed(found=found[-1])
        return wrong(f"expected {case.answer!s:.80}, found {found[-1]:.80}", found=found[-1][:200])
