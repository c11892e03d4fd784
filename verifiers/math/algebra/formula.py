r"""Parser from arithmetic and algebra in plain notation (``2\sqrt{3}x^2 - \frac{\pi}{4}``) to exact expressions.

It gives up on anything ambiguous, such as ``1/2x`` or ``f(x+1)``, and on most functions.
"""

import math
import re
from fractions import Fraction

from .expression import Budget, Expression, UnsupportedExpression, constant, symbol
from .operators import EXTREMES, LARGE, OperatorReader
from .tokens import GREEK
from .transcendental import UNKNOWN_BASE, canonical, cosine, logarithm, opaque, raised_to, sine

MAX_LENGTH = 400
"""Longest formula, in characters, that is parsed."""

_OPENING = {"(": ")", "[": "]", "{": "}"}
_PRODUCTS = frozenset((r"\cdot", r"\times", "*"))
_QUOTIENTS = frozenset(("/", r"\div"))
_ENDS = frozenset(("+", "-", ")", "]", "}", ",", "=", r"\to"))
_FUNCTIONS = frozenset("fghpquvyFGHOPQTUVWS")
"""Letters that may name a function if a parenthesis follows; any other letter is a factor."""
_WORDS = re.compile(r"a[mnst]|b[ey]|[ckm]m|d[or-z]|ft|go|he|i[fnst]|k[gm]|l[bng]|m[egly]|no|o[fnrz]|so|to|u[ps]|we|yd")
"""Two letters that form a word, not a product."""
_ELEMENTARY = ("sin", "cos", "tan", "cot", "sec", "csc", "exp", "ln", "log")
_FUNCTION_NAMES = frozenset(
    "\\" + name for name in (*_ELEMENTARY, "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh")
)
_MAX_FACTORIAL = 150
_MAX_CHOSEN = 4
"""Largest lower number with which a binomial of a formula is written as a product."""


def read_formula(text: str, budget: Budget) -> Expression | None:
    """Return the expression that ``text``, in plain notation, denotes, or None if that is not certain."""
    if len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        return _Reader(text, budget).read()
    except (UnsupportedExpression, RecursionError):
        return None


class _Reader(OperatorReader):
    """Recursive-descent parser; every method reads one construct and leaves ``_at`` after it."""

    def read(self) -> Expression:
        value = self._sum()
        if self._next:
            raise UnsupportedExpression(f"{self._next!r} is left")
        return value

    def _sum(self) -> Expression:
        value = self._signed()
        while self._next in ("+", "-") and self._next:
            value = value + (self._product() if self._take() == "+" else -self._product())
        return value

    def _signed(self) -> Expression:
        if self._next in ("+", "-") and self._next:
            return self._product() if self._take() == "+" else -self._product()
        return self._product()

    def _product(self) -> Expression:
        last, (value, divided) = self._next, (self._power(), False)
        while self._next and self._next not in _ENDS and not (self._in_bars and self._next == "|"):
            if self._next in _PRODUCTS:
                self._take()
                sign = self._take() if self._next in ("+", "-") and self._next else "+"
                factor = self._power()
                value, divided = value * (factor if sign == "+" else -factor), False
            elif self._next in _QUOTIENTS:
                self._take()
                value, divided = value / self._power(), True
            elif divided or (self._next[0] in "0123456789.{" and last != r"\binom") or self._mixed():
                raise UnsupportedExpression("a product that could be read in two ways")
            else:
                last = self._next
                value = value * self._power()
        return value

    def _mixed(self) -> bool:
        """Return whether a fraction follows a numeral, which may be a mixed number or a product."""
        return self._next == r"\frac" and self._tokens[self._at - 1][0] in "0123456789."

    def _power(self) -> Expression:
        value = self._atom()
        if self._next == "!":
            value = self._factorial(value)
        if self._next == "^":
            self._take()
            value = raised_to(value, self._argument(exponent=True))
            if self._next in ("^", "!"):
                raise UnsupportedExpression("a tower")
        return value

    def _factorial(self, value: Expression) -> Expression:
        self._take()
        number = value.number
        if number is None and self._next != "!":
            return opaque("factorial", value)
        if number is None or number.denominator != 1 or not 0 <= number <= _MAX_FACTORIAL or self._next == "!":
            raise UnsupportedExpression("factorial")
        return constant(Fraction(math.factorial(int(number))), self._budget)

    def _argument(self, exponent: bool = False) -> Expression:
        """Read the argument of a command or of ``^``: a group in braces, or one digit, letter or fraction."""
        if self._next == "{":
            return self._group()
        token = self._next
        if exponent and token in ("+", "-"):
            self._take()
            return self._argument(exponent) if token == "+" else -self._argument(exponent)
        if exponent and token in (r"\frac", r"\sqrt", "("):
            return self._atom()
        if (len(token) == 1 and token.isalnum()) or GREEK.fullmatch(token):
            return self._atom()
        raise UnsupportedExpression("an argument without braces")

    def _group(self) -> Expression:
        closing = _OPENING[self._take()]
        value = self._sum()
        self._expect(closing)
        return value

    def _atom(self) -> Expression:
        token = self._next
        if token[:1].isdigit() or (token[:1] == "." and len(token) > 1):
            return constant(Fraction(self._take().rstrip(".")), self._budget)
        if token in _OPENING:
            return self._group()
        if token.isalpha():
            return self._letters()
        if GREEK.fullmatch(token):
            return self._name(self._take())
        if token == r"\frac":
            self._take()
            top = self._argument()
            return top / self._argument()
        if token == r"\sqrt":
            return self._root()
        if token in _FUNCTION_NAMES:
            return self._function()
        if token in LARGE:
            return self._large()
        if token in EXTREMES:
            return self._extreme()
        if token == "|":
            return self._absolute_value()
        if token == r"\binom":
            return self._binomial()
        raise UnsupportedExpression(f"{token!r}")

    def _absolute_value(self) -> Expression:
        """Read an absolute value; without a known value it is opaque, and bars may not nest."""
        if self._in_bars:
            raise UnsupportedExpression("bars in bars")
        self._take()
        self._in_bars = True
        value = self._sum()
        self._expect("|")
        self._in_bars = False
        number = value.number
        return opaque("size", value) if number is None else constant(abs(number), self._budget)

    def _root(self) -> Expression:
        self._take()
        degree = Fraction(2)
        if self._next == "[":
            number = self._group().number
            if number is None or number.denominator != 1:
                raise UnsupportedExpression("degree of a root")
            degree = number
        value = self._argument()
        try:
            return value.root(int(degree))
        except UnsupportedExpression:
            return opaque(f"root {degree}", value)

    def _function(self) -> Expression:
        """Read a function with its exponent, base and argument."""
        name = self._take()
        base = power = None
        if self._next == "_" and name == r"\log":
            self._take()
            name, base = r"\ln", self._argument()
        if self._next == "^":
            self._take()
            power = self._argument().number
            if power is None or power < 1:
                raise UnsupportedExpression("an inverse function")
        value = self._apply(name, self._operand(name))
        if base is not None:
            value = value / logarithm(base)
        return value if power is None else value.power(power)

    def _operand(self, name: str) -> Expression:
        """Read the argument of a function: in brackets, or without them if its end is unambiguous."""
        if self._next in ("(", "{"):
            value = self._group()
            if self._next in ("^", "!"):
                raise UnsupportedExpression("a power of a function or of its argument")
            return value
        numbered = self._next[:1].isdigit()
        if not (numbered or self._next == r"\frac" or self._is_variable()):
            raise UnsupportedExpression("an argument without brackets")
        value = self._atom()
        if numbered and self._is_variable() and name not in (r"\ln", r"\log"):
            value = value * self._atom()
        follows = self._tokens[self._at + 1] if self._next in _PRODUCTS else self._next
        if follows not in ("", "|", *_ENDS, *_FUNCTION_NAMES):
            raise UnsupportedExpression("an argument that does not end")
        return value

    def _apply(self, name: str, value: Expression) -> Expression:
        if name == r"\ln":
            return logarithm(value)
        if name == r"\log":
            return logarithm(value) / symbol(UNKNOWN_BASE, self._budget)
        if name == r"\exp":
            return raised_to(symbol("e", self._budget), value)
        if name in (r"\tan", r"\cot", r"\sec", r"\csc"):
            one = constant(Fraction(1), self._budget)
            top = {r"\tan": sine, r"\cot": cosine}.get(name, lambda _: one)(value)
            return top / (sine if name in (r"\cot", r"\csc") else cosine)(value)
        if name in (r"\sin", r"\cos"):
            return (sine if name == r"\sin" else cosine)(value)
        return opaque(name, value)

    def _binomial(self) -> Expression:
        self._take()
        of, choose = self._argument(), self._argument()
        top, bottom = of.number, choose.number
        if top is None and bottom is not None and bottom in range(_MAX_CHOSEN + 1):
            product = constant(Fraction(1, math.factorial(int(bottom))), self._budget)
            for less in range(int(bottom)):
                product = product * (of + constant(Fraction(-less), self._budget))
            return product
        if top is None or bottom is None:
            return opaque("binom", of, choose)
        if top.denominator != 1 or bottom.denominator != 1:
            raise UnsupportedExpression("binomial")
        if not 0 <= bottom <= top <= _MAX_FACTORIAL:
            raise UnsupportedExpression("binomial")
        return constant(Fraction(math.comb(int(top), int(bottom))), self._budget)

    def _letters(self) -> Expression:
        """Read one variable, or a product of two; an index or power belongs to the last."""
        token = self._take()
        if len(token) > 2 or _WORDS.fullmatch(token.lower()):
            raise UnsupportedExpression("a word")
        if len(token) == 2:
            self._at -= 1
            self._tokens[self._at : self._at + 1] = token
            first = self._name(self._take())
            return first * self._power()
        return self._name(token)

    def _name(self, name: str) -> Expression:
        bound = name in self._bound
        name = self._bound.get(name, name)
        if self._next == "_":
            self._take()
            name = f"{name}_{self._index()}"
        while self._next == "'":
            name += self._take()
        if self._next in ("(", "[") and not bound and self._may_call(name):
            return self._call(name)
        return symbol(name, self._budget)

    def _index(self) -> str:
        """Read an index: one letter or digit, or a group, such as ``{n-1}``, whose terms may have any order."""
        if self._next != "{":
            index = self._take()
            if not (index.isalnum() and len(index) == 1):
                raise UnsupportedExpression("index")
            return self._bound.get(index, index)
        index, after = self._tokens[self._at + 1], self._tokens[self._at + 2 : self._at + 3]
        if index.isalnum() and after == ["}"]:
            self._at += 3
            return self._bound.get(index, index)
        value = self._group()
        return f"{{{canonical(value)}}}"

    def _may_call(self, name: str) -> bool:
        """Return whether a parenthesis after ``name`` may be a function's argument, and not a factor."""
        inside = self._tokens[self._at + 1 : self._at + 3]
        if name[0] in _FUNCTIONS or (name[0] == "\\" and name != r"\pi"):
            return True
        return inside[1:] in ([")"], [","])
