"""Exact arithmetic on bounded expressions: quotients of polynomials in variables, pi, e, i and roots of whole numbers.

Two expressions of this kind are equal exactly where their canonical forms are: the real roots ``p^(k/n)`` of different
primes are linearly independent over the rationals (Besicovitch, 1940), i is not real, and variables have no relations.
The same is taken to hold of pi and e, between which none is known.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

Generator: TypeAlias = int | str
"""A prime, of which only roots stand here, or the name of a variable or constant."""
Monomial: TypeAlias = tuple[tuple[Generator, Fraction], ...]
"""Generators, sorted, with their exponents: below 1 for a prime, any but 0 for a name."""
Polynomial: TypeAlias = dict[Monomial, Fraction]
"""Coefficients, none of them 0."""

MAX_BITS = 4000
"""Size of a coefficient's numerator or denominator."""
MAX_POWER = 100
MAX_ROOT = 12
MAX_FACTOR = 1000
"""Trial division for roots stops here: what is left must be a prime below its square."""

POSITIVE = frozenset((r"\pi", "e"))
"""Names of positive numbers, whose roots may be multiplied."""
CONSTANTS = POSITIVE | {"i"}


class TooMuch(Exception):
    """The expression is outside of what is decided here: by its size, or by its kind."""


@dataclass
class Budget:
    """How many products of two terms may still be formed."""

    products: int = 1500

    def spend(self, products: int) -> None:
        """Take ``products`` off.

        Raises:
            TooMuch: there are not as many left.
        """
        self.products -= products
        if self.products < 0:
            raise TooMuch("too many terms")


@dataclass(frozen=True)
class Expression:
    """``top / bottom``; the arithmetic raises ``TooMuch`` where it leaves its bounds or divides by zero."""

    top: Polynomial
    bottom: Polynomial
    budget: Budget = field(repr=False, compare=False)

    def __add__(self, other: "Expression") -> "Expression":
        if self.bottom == other.bottom:
            return Expression(_sum(self.top, other.top), self.bottom, self.budget)
        return Expression(
            _sum(self._product(self.top, other.bottom), self._product(other.top, self.bottom)),
            self._product(self.bottom, other.bottom),
            self.budget,
        )

    def __neg__(self) -> "Expression":
        return Expression({term: -number for term, number in self.top.items()}, self.bottom, self.budget)

    def __mul__(self, other: "Expression") -> "Expression":
        top, bottom = self._product(self.top, other.top), self._product(self.bottom, other.bottom)
        return Expression(top, bottom, self.budget)

    def __truediv__(self, other: "Expression") -> "Expression":
        if not other.top:
            raise TooMuch("division by zero")
        if len(other.top) == 1:
            ((term, number),) = other.top.items()
            inverse, factor = _normal([(name, -power) for name, power in term])
            return self * Expression(self._product(other.bottom, {inverse: factor / number}), _one(), self.budget)
        return self * Expression(other.bottom, other.top, self.budget)

    def power(self, exponent: Fraction) -> "Expression":
        """This, raised to a rational exponent; 0 to the 0 is not decided."""
        if exponent.denominator == 1:
            return self._whole_power(int(exponent))
        return self._fraction_power(exponent)

    def root(self, degree: int) -> "Expression":
        """The principal root; for odd degrees and negative numbers the real one."""
        if not 2 <= degree <= MAX_ROOT:
            raise TooMuch("degree of a root")
        if self.number is not None and self.number < 0:
            if degree % 2:
                return -(-self).root(degree)
            if degree == 2:
                return (-self).root(2) * symbol("i", self.budget)
        return self._fraction_power(Fraction(1, degree))

    @property
    def number(self) -> Fraction | None:
        """The rational number that this is, else None."""
        if self.bottom != _one():
            return None
        return Fraction(0) if not self.top else self.top.get(()) if len(self.top) == 1 else None

    def equals(self, other: "Expression") -> bool:
        """Whether both are one, wherever both are defined."""
        return self._product(self.top, other.bottom) == self._product(other.top, self.bottom)

    def proportional(self, other: "Expression") -> bool:
        """Whether ``self = c * other`` for a rational number c other than 0, and they have a variable."""
        left, right = self._product(self.top, other.bottom), self._product(other.top, self.bottom)
        if left.keys() != right.keys() or not any(
            isinstance(name, str) and name not in CONSTANTS for term in left for name, _ in term
        ):
            return False
        return len({left[term] / right[term] for term in left}) == 1

    def _product(self, left: Polynomial, right: Polynomial) -> Polynomial:
        if left == _one():
            return right
        if right == _one():
            return left
        widest = max(map(len, (*left, *right)), default=0)
        self.budget.spend(len(left) * len(right) * (1 + widest // 8))
        result: Polynomial = {}
        for term, number in left.items():
            for other, factor in right.items():
                product, extra = _normal([*term, *other])
                result[product] = result.get(product, Fraction(0)) + _bounded(number * factor * extra)
        return {term: number for term, number in result.items() if number}

    def _whole_power(self, exponent: int) -> "Expression":
        if abs(exponent) > MAX_POWER and (self.number is None or abs(exponent) > MAX_BITS):
            raise TooMuch("exponent")
        if exponent <= 0 and not self.top:
            raise TooMuch("0 to the power of 0 or less")
        result = base = constant(Fraction(1), self.budget)
        base, left = (self if exponent >= 0 else base / self), abs(exponent)
        while left:
            result = result * base if left % 2 else result
            left //= 2
            base = base * base if left else base
        return result

    def _fraction_power(self, exponent: Fraction) -> "Expression":
        if exponent.denominator > MAX_ROOT or abs(exponent) > MAX_POWER:
            raise TooMuch("exponent")
        if not self.top and exponent > 0:
            return self
        if self.bottom != _one() or len(self.top) != 1:
            raise TooMuch("root of a sum")
        ((term, number),) = self.top.items()
        variable = number == 1 and len(term) == 1 and term[0][1] == 1 and term[0][0] != "i"
        if not variable and (number < 0 or any(isinstance(name, str) and name not in POSITIVE for name, _ in term)):
            raise TooMuch("root of what may be negative")
        powers = [(name, power * exponent) for name, power in term]
        for part, sign in ((number.numerator, 1), (number.denominator, -1)):
            powers += [(prime, sign * times * exponent) for prime, times in factors(part).items()]
        return make(powers, self.budget)


def constant(value: Fraction, budget: Budget) -> Expression:
    """A rational number."""
    return Expression({(): _bounded(value)} if value else {}, _one(), budget)


def symbol(name: str, budget: Budget) -> Expression:
    """A variable, or one of the constants ``\\pi``, ``e`` and ``i``."""
    return Expression({((name, Fraction(1)),): Fraction(1)}, _one(), budget)


def make(powers: list[tuple[Generator, Fraction]], budget: Budget) -> Expression:
    """The product of ``powers``."""
    term, number = _normal(powers)
    return Expression({term: number}, _one(), budget)


def _one() -> Polynomial:
    return {(): Fraction(1)}


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    result = dict(left)
    for term, number in right.items():
        result[term] = _bounded(result.get(term, Fraction(0)) + number)
    return {term: number for term, number in result.items() if number}


def _normal(powers: list[tuple[Generator, Fraction]]) -> tuple[Monomial, Fraction]:
    """The product of ``powers`` as a monomial and a number: whole powers of primes and of i are numbers."""
    exponents: dict[Generator, Fraction] = {}
    for name, power in powers:
        exponents[name] = exponents.get(name, Fraction(0)) + power
    number = Fraction(1)
    for name, power in exponents.items():
        if isinstance(name, int):
            whole = math.floor(power)
            if abs(whole) * name.bit_length() > MAX_BITS:
                raise TooMuch("exponent")
            exponents[name], number = power - whole, number * Fraction(name) ** whole
        elif name == "i":
            exponents[name] = power % 2
            number *= -1 if power // 2 % 2 else 1
    kept = ((name, power) for name, power in exponents.items() if power)
    return tuple(sorted(kept, key=lambda part: str(part[0]))), number


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise TooMuch("digits")
    return number


def factors(number: int) -> dict[int, int]:
    """How often each prime divides ``number``."""
    factors: dict[int, int] = {}
    for divisor in range(2, MAX_FACTOR):
        while number % divisor == 0:
            factors[divisor] = factors.get(divisor, 0) + 1
            number //= divisor
    if number >= MAX_FACTOR**2:
        raise TooMuch("factors")
    return factors | ({number: 1} if number > 1 else {})
