r"""Reader for operators of whole formulas: sums, products, limits and integrals, calls, and extremes.

Each is opaque: the same operator of the same parts has the same value, whatever its bound variable is called.
"""

import math
from fractions import Fraction

from .expression import Expression, UnsupportedExpression, constant, symbol
from .tokens import GREEK, TokenReader
from .transcendental import canonical, opaque

LARGE = frozenset((r"\sum", r"\prod", r"\int", r"\lim"))
EXTREMES = frozenset((r"\max", r"\min", r"\gcd", r"\lcm"))
_MAX_ARGUMENTS = 8


class OperatorReader(TokenReader):
    """Reads the operators of a formula."""

    def _large(self) -> Expression:
        name = self._take()
        if name == r"\int":
            return self._integral()
        if name == r"\lim":
            self._expect("_")
            self._expect("{")
            variable = self._variable()
            self._expect(r"\to")
            bounds = [self._sum()]
            self._expect("}")
        else:
            variable, bounds = self._range()
        body = self._inside(variable, self._product)
        return opaque(name, *bounds, body)

    def _range(self) -> tuple[str, list[Expression]]:
        """Read ``_{k=1}^{n}``."""
        self._expect("_")
        self._expect("{")
        variable = self._variable()
        self._expect("=")
        low = self._sum()
        self._expect("}")
        self._expect("^")
        return variable, [low, self._bound_value()]

    def _integral(self) -> Expression:
        bounds: list[Expression] = []
        for sign in ("_", "^"):
            if self._next == sign:
                self._take()
                bounds.append(self._bound_value())
        end, variable = self._differential()
        rest = self._tokens[end + 1 :] if self._tokens[end] != "d" else self._tokens[end + 2 :]
        self._tokens = [*self._tokens[self._at : end], ""]
        self._at = 0
        if len(self._tokens) == 1:
            raise UnsupportedExpression("an integral of nothing")
        body = self._inside(variable, self._sum)
        if self._next:
            raise UnsupportedExpression("an integrand that does not end")
        self._tokens, self._at = rest, 0
        return opaque(rf"\int{len(bounds)}", *bounds, body)

    def _bound_value(self) -> Expression:
        """Read a bound, which may be infinite."""
        tokens = self._tokens[self._at : self._at + 4]
        for infinite in ([r"\infty"], ["{", r"\infty", "}"], ["{", "+", r"\infty", "}"], ["{", "-", r"\infty", "}"]):
            if tokens[: len(infinite)] == infinite:
                self._at += len(infinite)
                return symbol("-oo" if "-" in infinite else "oo", self._budget)
        return self._argument()

    def _differential(self) -> tuple[int, str]:
        """Return where the next ``dx`` is, and its variable."""
        depth = 0
        for place in range(self._at, len(self._tokens) - 1):
            token, after = self._tokens[place], self._tokens[place + 1]
            depth += (token in "({[") - (token in ")}]")
            if depth == 0 and len(token) == 2 and token[0] == "d" and token.isalpha():
                return place, token[1]
            if depth == 0 and token == "d" and (GREEK.fullmatch(after) or (len(after) == 1 and after.isalpha())):
                return place, after
        raise UnsupportedExpression("an integral without a differential")

    def _variable(self) -> str:
        if not self._is_variable():
            raise UnsupportedExpression("a bound variable")
        return self._take()

    def _extreme(self) -> Expression:
        r"""Read ``\max(a, b)``; the order of the arguments does not count."""
        name = self._take()
        if self._next == r"\{" or self._next == "\\":
            raise UnsupportedExpression("a set of arguments")
        values = sorted(self._arguments(), key=canonical)
        numbers = [value.number for value in values]
        known = [number for number in numbers if number is not None]
        if len(known) == len(values) and all(number.denominator == 1 for number in known):
            whole = {r"\max": max, r"\min": min, r"\gcd": math.gcd, r"\lcm": math.lcm}[name]
            return constant(Fraction(whole(*map(int, known))), self._budget)  # type: ignore[operator]
        return opaque(name, *values)

    def _call(self, name: str) -> Expression:
        """Read the argument of what is a function or a factor; the same text has the same value in both cases."""
        return opaque(f"call {name}", *self._arguments())

    def _arguments(self) -> list[Expression]:
        closing = {"(": ")", "[": "]"}.get(self._next)
        if closing is None:
            raise UnsupportedExpression("arguments without brackets")
        self._take()
        values = [self._sum()]
        while self._next == "," and len(values) < _MAX_ARGUMENTS:
            self._take()
            values.append(self._sum())
        self._expect(closing)
        return values
