r"""The reader of arithmetic and algebra in plain notation (``2\sqrt{3}x^2 - \frac{\pi}{4}``) as exact expressions.

It gives up on all that could be read in two ways, such as ``1/2x`` or ``f(x+1)``, and on most functions.
"""

import math
import re
from fractions import Fraction

from .algebra import Budget, Expression, TooMuch, constant, symbol
from .transcendental import cosine, logarithm, opaque, raised, sine

MAX_LENGTH = 400
"""Characters; a longer formula is not read."""

_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\\[A-Za-z]+|[A-Za-z]+|\S)\s*")
_OPENING = {"(": ")", "[": "]", "{": "}"}
_PRODUCTS = frozenset((r"\cdot", r"\times", "*"))
_QUOTIENTS = frozenset(("/", r"\div"))
_GREEK = re.compile(
    r"\\(?:alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|(?:var)?theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau"
    r"|upsilon|(?:var)?phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Sigma|Phi|Psi|Omega|ell)"
)
_FUNCTIONS = frozenset("fghpquvyFGHPQTUVWS")
"""Letters before a parenthesis that may name a function; any other is a factor."""
_WORDS = re.compile(r"a[mnst]|b[ey]|[ckm]m|d[or-z]|ft|go|he|i[fnst]|k[gm]|l[bng]|m[egly]|no|o[fnrz]|so|to|u[ps]|we|yd")
"""Two letters that are no product."""
_ELEMENTARY = ("sin", "cos", "tan", "cot", "sec", "csc", "exp", "ln", "log")
_FUNCTION_NAMES = frozenset(
    "\\" + name for name in (*_ELEMENTARY, "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh")
)
_MAX_FACTORIAL = 150


def read_formula(text: str, budget: Budget) -> Expression | None:
    """What ``text``, in plain notation, says, None where it is not surely an expression of this kind."""
    if len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        return _Reader(text, budget).read()
    except (TooMuch, RecursionError):
        return None


class _Reader:
    """One pass over the tokens; every method reads one construct and leaves ``_at`` behind it."""

    def __init__(self, text: str, budget: Budget) -> None:
        self._budget = budget
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        budget.spend(len(self._tokens) // 4)
        self._at = 0
        self._in_bars = False

    def read(self) -> Expression:
        value = self._sum()
        if self._next:
            raise TooMuch(f"{self._next!r} is left")
        return value

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._next
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise TooMuch(f"{token!r} is missing")

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
        value, divided = self._power(), False
        while self._next and self._next not in ("+", "-", ")", "]", "}") and not (self._in_bars and self._next == "|"):
            if self._next in _PRODUCTS:
                self._take()
                sign = self._take() if self._next in ("+", "-") and self._next else "+"
                factor = self._power()
                value, divided = value * (factor if sign == "+" else -factor), False
            elif self._next in _QUOTIENTS:
                self._take()
                value, divided = value / self._power(), True
            elif divided or self._next[0] in "0123456789.{" or self._mixed():
                raise TooMuch("a product that could be read in two ways")
            else:
                value = value * self._power()
        return value

    def _mixed(self) -> bool:
        """Whether a fraction stands behind a numeral: a mixed number, or a product."""
        return self._next == r"\frac" and self._tokens[self._at - 1][0] in "0123456789."

    def _power(self) -> Expression:
        value = self._atom()
        if self._next == "!":
            value = self._factorial(value)
        if self._next == "^":
            self._take()
            value = raised(value, self._argument(exponent=True))
            if self._next in ("^", "!"):
                raise TooMuch("a tower")
        return value

    def _factorial(self, value: Expression) -> Expression:
        self._take()
        number = value.number
        if number is None or number.denominator != 1 or not 0 <= number <= _MAX_FACTORIAL or self._next == "!":
            raise TooMuch("factorial")
        return constant(Fraction(math.factorial(int(number))), self._budget)

    def _argument(self, exponent: bool = False) -> Expression:
        """What a command or ``^`` applies to: a group in braces, or one digit, letter or fraction."""
        if self._next == "{":
            return self._group()
        token = self._next
        if exponent and token == r"\frac":
            return self._atom()
        if (len(token) == 1 and token.isalnum()) or _GREEK.fullmatch(token):
            return self._atom()
        raise TooMuch("an argument without braces")

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
        if _GREEK.fullmatch(token):
            return self._name(self._take())
        if token == r"\frac":
            self._take()
            top = self._argument()
            return top / self._argument()
        if token == r"\sqrt":
            return self._root()
        if token in _FUNCTION_NAMES:
            return self._function()
        if token == "|":
            return self._size()
        if token == r"\binom":
            return self._choose()
        raise TooMuch(f"{token!r}")

    def _size(self) -> Expression:
        """The absolute value of a number, or of what is no more than named; bars do not nest."""
        if self._in_bars:
            raise TooMuch("bars in bars")
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
                raise TooMuch("degree of a root")
            degree = number
        value = self._argument()
        try:
            return value.root(int(degree))
        except TooMuch:
            return opaque(f"root {degree}", value)

    def _function(self) -> Expression:
        """A function with its exponent, its base and its argument."""
        name = self._take()
        base = power = None
        if self._next == "_" and name == r"\log":
            self._take()
            name, base = r"\ln", self._argument()
        if self._next == "^":
            self._take()
            power = self._argument().number
            if power is None or power < 1:
                raise TooMuch("an inverse function")
        value = self._applied(name, self._operand(name))
        if base is not None:
            value = value / logarithm(base)
        return value if power is None else value.power(power)

    def _operand(self, name: str) -> Expression:
        """What a function applies to: its brackets, or all up to where its end is beyond doubt."""
        if self._next in ("(", "{"):
            value = self._group()
            if self._next in ("^", "!"):
                raise TooMuch("a power of a function or of its argument")
            return value
        numbered = self._next[:1].isdigit()
        if not (numbered or self._next == r"\frac" or self._is_variable()):
            raise TooMuch("an argument without brackets")
        value = self._atom()
        if numbered and self._is_variable() and name not in (r"\ln", r"\log"):
            value = value * self._atom()
        follows = self._tokens[self._at + 1] if self._next in _PRODUCTS else self._next
        if follows not in ("", "+", "-", ")", "}", "]", "|", *_FUNCTION_NAMES):
            raise TooMuch("an argument that does not end")
        return value

    def _is_variable(self) -> bool:
        return (len(self._next) == 1 and self._next.isalpha()) or bool(_GREEK.fullmatch(self._next))

    def _applied(self, name: str, value: Expression) -> Expression:
        if name == r"\ln":
            return logarithm(value)
        if name == r"\exp":
            return raised(symbol("e", self._budget), value)
        if name in (r"\tan", r"\cot", r"\sec", r"\csc"):
            one = constant(Fraction(1), self._budget)
            top = {r"\tan": sine, r"\cot": cosine}.get(name, lambda _: one)(value)
            return top / (sine if name in (r"\cot", r"\csc") else cosine)(value)
        if name in (r"\sin", r"\cos"):
            return (sine if name == r"\sin" else cosine)(value)
        return opaque(name, value)

    def _choose(self) -> Expression:
        self._take()
        top, bottom = self._argument().number, self._argument().number
        if top is None or bottom is None or top.denominator != 1 or bottom.denominator != 1:
            raise TooMuch("binomial")
        if not 0 <= bottom <= top <= _MAX_FACTORIAL:
            raise TooMuch("binomial")
        return constant(Fraction(math.comb(int(top), int(bottom))), self._budget)

    def _letters(self) -> Expression:
        """One variable, or a product of two: what follows, an index or a power, belongs to the last."""
        token = self._take()
        if len(token) > 2 or _WORDS.fullmatch(token.lower()):
            raise TooMuch("a word")
        if len(token) == 2:
            self._at -= 1
            self._tokens[self._at : self._at + 1] = token
            first = self._name(self._take())
            return first * self._power()
        return self._name(token)

    def _name(self, name: str) -> Expression:
        if self._next == "_":
            self._take()
            braced = self._next == "{"
            if braced:
                self._take()
            index = self._take()
            if not (index.isalnum() and (braced or len(index) == 1)):
                raise TooMuch("index")
            if braced:
                self._expect("}")
            name = f"{name}_{index}"
        while self._next == "'":
            name += self._take()
        if self._next in ("(", "[") and self._may_call(name):
            raise TooMuch("perhaps a function")
        return symbol(name, self._budget)

    def _may_call(self, name: str) -> bool:
        inside = self._tokens[self._at + 1 : self._at + 3]
        if name[0] in _FUNCTIONS or (name[0] == "\\" and name != r"\pi"):
            return True
        return inside[1:] in ([")"], [","])
