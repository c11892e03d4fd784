"""Verifiers that compare the answer as text or as a number."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .case import Case
from .registry import verifier
from .think import split_reasoning
from .verdict import Verdict, infra_error, passed, unparseable, wrong

_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", re.ASCII)


@verifier("exact")
@dataclass(frozen=True)
class Exact:
    """The answer, reasoning and surrounding white space removed, equals ``task.answer``.

    Attributes:
        ignore_case: compare in lower case.
    """

    ignore_case: bool = False

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, or ``wrong``."""
        _, found = split_reasoning(case.completion)
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
    """

    tolerance: float = 0.0

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, ``wrong``, or ``unparseable`` where there is no number."""
        _, text = split_reasoning(case.completion)
        found = [match for match in _NUMBER.findall(text[-2000:]) if any(char.isdigit() for char in match)]
        if not found:
            return unparseable("no number in the answer")
        expected = parse_number(str(case.answer))
        if expected is None:
            return infra_error(f"the task's answer is not a number: {case.answer!r:.80}; repair the dataset")
        value = parse_number(found[-1])
        if value is not None and abs(value - expected) <= Decimal(repr(self.tolerance)):
            return passed(found=found[-1])
        return wrong(f"expected {expected}, found {found[-1]:.80}", found=found[-1][:200])


def parse_number(text: str) -> Decimal | None:
    """The decimal that ``text`` is, thousands separators allowed, else None."""
    try:
        value = Decimal(text.strip().replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
