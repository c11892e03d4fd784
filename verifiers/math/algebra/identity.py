"""Exact decision whether two formulas are the same expression, without a worker."""

import re
from dataclasses import dataclass, field

from ..collection import split
from .expression import Budget, Expression, UnsupportedExpression
from .formula import read_formula
from .transcendental import is_opaque

_LOGARITHM = re.compile(r"\\log(?![A-Za-z])(?!\s*_)")
"""A logarithm without a base; it is natural if the other answer has natural logarithms."""


@dataclass
class FormulaCache:
    """Cache of the formulas of one comparison, which share one budget of work."""

    budget: Budget = field(default_factory=Budget)
    _read: dict[str, Expression | None] = field(default_factory=dict)

    def equal(self, gold: str, answer: str) -> bool | None:
        """Return whether both are the same expression, or equations with the same solutions; None if undecided."""
        same = self._equal(gold, answer)
        if same is None and _LOGARITHM.search(gold + answer) and r"\ln" in gold + answer:
            return self._equal(*(_LOGARITHM.sub(r"\\ln ", text) for text in (gold, answer))) or None
        return same

    def _equal(self, gold: str, answer: str) -> bool | None:
        sides = _sides(gold), _sides(answer)
        if len(sides[0]) != len(sides[1]) or len(sides[0]) > 2:
            return None
        read = [self._reading(side) for part in sides for side in part]
        known = [side for side in read if side is not None]
        if len(known) < len(read):
            return None
        try:
            if len(known) == 2:
                return _equal(*known)
            return (known[0] + -known[1]).proportional(known[2] + -known[3]) or None
        except UnsupportedExpression:
            return None

    def _reading(self, text: str) -> Expression | None:
        if text not in self._read:
            self._read[text] = read_formula(text, self.budget)
        return self._read[text]


def _sides(text: str) -> list[str]:
    """Return the sides of an equation; an equals sign in a group, as in a sum, does not count."""
    return split(text, "=") if "=" in text else [text]


def _equal(expected: Expression, found: Expression) -> bool | None:
    """Return whether both are equal, or None if opaque parts do not cancel in the difference."""
    if expected.equals(found):
        return True
    return None if is_opaque(expected + -found) else False
