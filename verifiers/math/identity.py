"""Whether two formulas are one expression, decided without a worker wherever that is exact."""

from dataclasses import dataclass, field

from .algebra import Budget, Expression, TooMuch
from .formula import read_formula
from .transcendental import is_opaque


@dataclass
class Formulas:
    """The formulas of one comparison, each read once, within one budget of work."""

    budget: Budget = field(default_factory=Budget)
    _read: dict[str, Expression | None] = field(default_factory=dict)

    def same(self, gold: str, answer: str) -> bool | None:
        """Whether both are one expression, or equations with the same solutions; None where that is not decided."""
        sides = gold.split("="), answer.split("=")
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
        except TooMuch:
            return None

    def _reading(self, text: str) -> Expression | None:
        if text not in self._read:
            self._read[text] = read_formula(text, self.budget)
        return self._read[text]


def _equal(expected: Expression, found: Expression) -> bool | None:
    """None where parts of which too little is known do not cancel in the difference."""
    if expected.equals(found):
        return True
    return None if is_opaque(expected + -found) else False
