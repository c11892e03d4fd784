"""Verifier for a quantity with its unit, by dimension and value."""

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError
from ..registry import verifier
from ..text.final_answer import final_answer
from ..text.normalization import references
from ..text.think import split_reasoning
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .quantity import NotAQuantity, Quantity, read_quantities
from .unit import Unit, UnknownUnit, load_units, read_unit

EXACT = 1e-9
"""Relative difference that floating point causes, which is allowed in any case."""
_STATED = re.compile(r"^.*(?:\bis\b|\bare\b|\bequals\b|:)\s*", re.IGNORECASE)
_OTHERWISE = re.compile(r"\b(?:not|never|neither|wrong|least|most|less|more|under|over)\b|n['’]t\b", re.IGNORECASE)
"""Words before the stated quantity with which it is not the answer."""


@verifier("units")
@dataclass(frozen=True)
class Units:
    r"""The final answer is the quantity ``task.answer``, in any unit of the same dimension.

    The answer stands in ``<answer>``, in a box, or at the end of the last line after "is" or a colon, and nothing may
    stand beside it. A range equals only a range with the same ends; a value may be anywhere in an expected range that
    is written with ``±``. The names of units are pint's.

    Attributes:
        tolerance: allowed difference, as a share of the expected value in its own unit; 0 for exact values.
        unit: the unit of an answer without one, if the question names it; by default such an answer is wrong, unless a
            plain number is expected.
        difference: whether temperatures are differences, so that 1 °C is 1 K; in units such as J/(kg °C) they always
            are.

    Example:
        {"verifier": "units", "completion": "It runs at \\boxed{1.389\\ \\mathrm{m/s}}.", "answer": "5 km/h"} -> 1.0
        {"verifier": "units", "completion": "The speed is 5 km.", "answer": "5 km/h"} -> 0.0
        {"verifier": "units", "completion": "300 K", "answer": "27 °C", "params": {"tolerance": 0.01}} -> 1.0
    """

    tolerance: float = 0.01
    unit: str = ""
    difference: bool = False
    row_params: ClassVar[frozenset[str]] = frozenset({"tolerance", "unit", "difference"})

    def __post_init__(self) -> None:
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise ConfigError(f"verifier 'units': tolerance is at least 0 and below 1, found {self.tolerance!r:.80}")
        load_units()
        try:
            read_unit(self.unit) if self.unit else ()
        except UnknownUnit as error:
            raise ConfigError(f"verifier 'units': unit {self.unit!r:.80}: {error}") from None

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the expected answer is not one quantity, or none that an answer could match."""
        self._expected(answer)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with the reason, or ``unparseable`` if the answer is not one quantity."""
        try:
            expected = self._expected(case.answer)
        except DataError as error:
            return infra_error(str(error))
        text = stated(split_reasoning(case.visible)[1])
        try:
            found = [self._with_unit(each) for each in read_quantities(text)]
        except NotAQuantity as error:
            return unparseable(f"the answer is not one quantity: {error}: {text[:80]!r}")
        why = ""
        for right in expected:
            reasons = [self._difference(each, right) for each in found]
            why = next(filter(None, reasons), "")
            if not why:
                return passed(found=text[:200])
        return wrong(f"expected {references(case.answer)[-1]}, found {text[:80]}: {why}", found=text[:200])

    def _expected(self, answer: Any) -> list[Quantity]:
        texts = references(answer)
        if not texts:
            raise DataError("the task has no answer to compare with; repair the dataset")
        try:
            return [self._with_unit(read_quantities(final_answer(text) or text)[-1]) for text in texts]
        except NotAQuantity as error:
            raise DataError(f"the task's answer is not one quantity: {error}: {answer!r:.80}; repair it") from None

    def _with_unit(self, quantity: Quantity) -> Quantity:
        units = quantity.units or (read_unit(self.unit) if self.unit else ())
        if self.difference:
            units = tuple(unit._replace(offset=0.0) for unit in units)
        return Quantity(quantity.low, quantity.high, units, quantity.around)

    def _difference(self, found: Quantity, expected: Quantity) -> str:
        """Why ``found`` is not ``expected``; empty if it is."""
        pairs = [
            (mine, theirs)
            for theirs in expected.units or (Unit(),)
            for mine in (_measured_like(unit, theirs) for unit in found.units or (Unit(),))
            if mine.dimension == theirs.dimension
        ]
        if not pairs:
            return "it has another dimension" if found.units else "it has no unit"
        if found.is_range != expected.is_range and not (expected.around and not found.is_range):
            return "it is a range" if found.is_range else "it is not a range"
        if any(self._equal(found, mine, expected, theirs) for mine, theirs in pairs):
            return ""
        return "it has another value"

    def _equal(self, found: Quantity, mine: Unit, expected: Quantity, theirs: Unit) -> bool:
        low, high = (_base(found.low, mine), _base(found.high, mine))
        least, most = (_base(expected.low, theirs), _base(expected.high, theirs))
        if expected.around and not found.is_range:
            slack = EXACT * max(abs(least), abs(most))
            return least - slack <= low and high <= most + slack
        pairs = ((low, least, expected.low), (high, most, expected.high))
        return all(
            abs(value - right) <= max(self.tolerance * abs(size * theirs.factor), EXACT * max(abs(value), abs(right)))
            for value, right, size in pairs
        )


def stated(text: str) -> str:
    """Return the final answer in ``text``: in a tag or a box, or at the end of the last line; without Markdown."""
    found = final_answer(text)
    if found is None:
        lines = text.strip().splitlines()
        line = lines[-1] if lines else ""
        head = _STATED.match(line)
        found = line[head.end() :] if head and not _OTHERWISE.search(re.split(r"[.;]\s", head[0])[-1]) else line
    return found.strip(" *`\t.")


def _base(value: float, unit: Unit) -> float:
    return value * unit.factor + unit.offset


def _measured_like(unit: Unit, other: Unit) -> Unit:
    """``unit`` with an angle that it leaves out, or without one that ``other`` leaves out: rad/s and Hz for 1/s."""
    missing = other.angle - unit.angle
    if abs(missing) != 1 or (unit.angle and other.angle):
        return unit
    turns = (unit if unit.angle else other).turns
    powers = dict(unit.dimension) | {"radian": other.angle}
    dimension = tuple(sorted((base, power) for base, power in powers.items() if power))
    return unit._replace(factor=unit.factor * (math.tau if turns else 1.0) ** missing, dimension=dimension)
