"""A parser for arithmetic expressions in untrusted text, bounded in length and depth, with exact values."""

import re
from fractions import Fraction

MAX_LENGTH = 200
"""Most characters in an expression."""

MAX_DEPTH = 20
"""Most levels of nested parentheses and signs."""

_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]{1,30}(?:\.[0-9]{1,30})?(?![0-9.]))|(?P<sign>[-+*/()]))")


class NotAnExpression(ValueError):
    """Raised if a text is not an expression, or the expression has no value."""


def evaluate(text: str) -> Fraction:
    """The exact value of an expression with numbers, ``+ - * /``, signs and parentheses.

    Raises:
        NotAnExpression: the text is not such an expression, is too long or too deep, or divides by zero.
    """
    if len(text) > MAX_LENGTH:
        raise NotAnExpression(f"the expression has {len(text)} characters, at most {MAX_LENGTH} are read")
    return _Parser(_tokens(text)).value()


def write(value: Fraction) -> str:
    """The value as people write it: an integer, a decimal number if 12 places are exact, otherwise a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**12
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    whole, decimals = divmod(abs(scaled.numerator), 10**12)
    return f"{'-' if value < 0 else ''}{whole}.{decimals:012d}".rstrip("0")


def _tokens(text: str) -> list[str]:
    tokens, place, end = [], 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if not found:
            raise NotAnExpression(
                f"cannot read {text[place:end].lstrip()[:20]!r}; write numbers, + - * / and parentheses"
            )
        tokens.append(found["number"] or found["sign"])
        place = found.end()
    return tokens


class _Parser:
    """A recursive descent parser; numerators stay small because an expression has at most ``MAX_LENGTH`` digits."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def value(self) -> Fraction:
        value = self._sum()
        if self._peek():
            raise NotAnExpression(f"nothing was expected at {self._peek()!r}; is an operator missing?")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self._place += 1
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while (sign := self._peek()) in ("*", "/"):
            self._place += 1
            other = self._factor()
            if sign == "/" and not other:
                raise NotAnExpression("division by zero")
            value = value * other if sign == "*" else value / other
        return value

    def _factor(self) -> Fraction:
        token = self._peek()
        self._place += 1
        if token[:1].isdigit():
            return Fraction(token)
        if token not in ("-", "+", "("):
            raise NotAnExpression(f"a number was expected at {token!r}" if token else "the expression is incomplete")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotAnExpression(f"parentheses and signs stand more than {MAX_DEPTH} deep")
        value = self._sum() if token == "(" else self._factor()
        self._depth -= 1
        if token == "(":
            if self._peek() != ")":
                raise NotAnExpression("a closing parenthesis is missing")
            self._place += 1
        return -value if token == "-" else value

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""
