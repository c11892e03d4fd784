"""Exact arithmetic on bounded expressions: quotients of polynomials in variables, pi, e, i and roots of integers.

Two expressions are equal if and only if their canonical forms are: the real roots ``p^(k/n)`` of different primes are
linearly independent over the rationals (Besicovitch, 1940), i is not real, and variables have no relations. pi and e
are treated as independent too, since no relation between them is known.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

Generator: TypeAlias = int | str
"""A prime, which occurs only under roots, or the name of a variable or constant."""
Monomial: TypeAlias = tuple[tuple[Generator, Fraction], ...]
"""Sorted generators with their exponents: below 1 for a prime, any but 0 for a name."""
Polynomial: TypeAlias = dict[Monomial, Fraction]
"""Monomial → coefficient; no coefficient is 0."""

MAX_BITS = 4000
"""Largest size of a coefficient's numerator or denominator, in bits."""
MAX_POWER = 100
MAX_ROOT = 12
MAX_FACTOR = 1000
"""Limit of trial division for roots: the remaining factor must be a prime below its square."""

POSITIVE = frozenset((r"\pi", "e"))
"""Names of positive constants, whose roots may be multiplied."""
CONSTANTS = POSITIVE | {"i"}


class UnsupportedExpression(Exception):
    """The expression is too large, or of a kind that is not decided here."""


@dataclass
class Budget:
    """Number of products of two terms that may still be formed."""

    products: int = 1500

    def spend(self, products: int) -> None:
        """Subtract ``products`` from the budget.

        Raises:
            UnsupportedExpression: fewer are left.
        """
        self.products -= products
        if self.products < 0:
            raise UnsupportedExpression("too many terms")


@dataclass(frozen=True)
class Expression:
    """A quotient of polynomials; operations raise ``UnsupportedExpression`` beyond limits and on division by zero."""

    numerator: Polynomial
    denominator: Polynomial
    budget: Budget = field(repr=False, compare=False)

    def __add__(self, other: "Expression") -> "Expression":
        if self.denominator == other.denominator:
            return Expression(_sum(self.numerator, other.numerator), self.denominator, self.budget)
        return Expression(
            _sum(self._product(self.numerator, other.denominator), self._product(other.numerator, self.denominator)),
            self._product(self.denominator, other.denominator),
            self.budget,
        )

    def __neg__(self) -> "Expression":
        return Expression({term: -number for term, number in self.numerator.items()}, self.denominator, self.budget)

    def __mul__(self, other: "Expression") -> "Expression":
        numerator, denominator = (
            self._product(self.numerator, other.numerator),
            self._product(self.denominator, other.denominator),
        )
        return Expression(numerator, denominator, self.budget)

    def __truediv__(self, other: "Expression") -> "Expression":
        if not other.numerator:
            raise UnsupportedExpression("division by zero")
        if len(other.numerator) == 1:
            ((term, number),) = other.numerator.items()
            inverse, factor = _normalize([(name, -power) for name, power in term])
            return self * Expression(self._product(other.denominator, {inverse: factor / number}), _one(), self.budget)
        return self * Expression(other.denominator, other.numerator, self.budget)

    def power(self, exponent: Fraction) -> "Expression":
        """Return the power with a rational exponent; 0 to the power of 0 is not decided."""
        if exponent.denominator == 1:
            return self._whole_power(int(exponent))
        return self._fraction_power(exponent)

    def root(self, degree: int) -> "Expression":
        """Return the principal root, but the real one for an odd degree of a negative number."""
        if not 2 <= degree <= MAX_ROOT:
            raise UnsupportedExpression("degree of a root")
        if self.number is not None and self.number < 0:
            if degree % 2:
                return -(-self).root(degree)
            if degree == 2:
                return (-self).root(2) * symbol("i", self.budget)
        return self._fraction_power(Fraction(1, degree))

    @property
    def number(self) -> Fraction | None:
        """The value if it is a rational number, else None."""
        if self.denominator != _one():
            return None
        return Fraction(0) if not self.numerator else self.numerator.get(()) if len(self.numerator) == 1 else None

    def equals(self, other: "Expression") -> bool:
        """Return whether both expressions are equal wherever both are defined."""
        return self._product(self.numerator, other.denominator) == self._product(other.numerator, self.denominator)

    def proportional(self, other: "Expression") -> bool:
        """Return whether ``self = c * other`` for a rational c other than 0, and a variable occurs in them."""
        left, right = self._product(self.numerator, other.denominator), self._product(other.numerator, self.denominator)
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
                product, extra = _normalize([*term, *other])
                result[product] = result.get(product, Fraction(0)) + _check_size(number * factor * extra)
        return {term: number for term, number in result.items() if number}

    def _whole_power(self, exponent: int) -> "Expression":
        if abs(exponent) > MAX_POWER and (self.number is None or abs(exponent) > MAX_BITS):
            raise UnsupportedExpression("exponent")
        if exponent <= 0 and not self.numerator:
            raise UnsupportedExpression("0 to the power of 0 or less")
        result = base = constant(Fraction(1), self.budget)
        base, left = (self if exponent >= 0 else base / self), abs(exponent)
        while left:
            result = result * base if left % 2 else result
            left //= 2
            base = base * base if left else base
        return result

    def _fraction_power(self, exponent: Fraction) -> "Expression":
        if exponent.denominator > MAX_ROOT or abs(exponent) > MAX_POWER:
            raise UnsupportedExpression("exponent")
        if not self.numerator and exponent > 0:
            return self
        if self.denominator != _one() or len(self.numerator) != 1:
            raise UnsupportedExpression("root of a sum")
        ((term, number),) = self.numerator.items()
        variable = number == 1 and len(term) == 1 and term[0][1] == 1 and term[0][0] != "i"
        if not variable and (number < 0 or any(isinstance(name, str) and name not in POSITIVE for name, _ in term)):
            raise UnsupportedExpression("root of what may be negative")
        powers = [(name, power * exponent) for name, power in term]
        for part, sign in ((number.numerator, 1), (number.denominator, -1)):
            powers += [(prime, sign * times * exponent) for prime, times in prime_factors(part).items()]
        return product_of_powers(powers, self.budget)


def constant(value: Fraction, budget: Budget) -> Expression:
    """Return a rational number as an expression."""
    return Expression({(): _check_size(value)} if value else {}, _one(), budget)


def symbol(name: str, budget: Budget) -> Expression:
    """Return a variable or one of the constants ``\\pi``, ``e`` and ``i`` as an expression."""
    return Expression({((name, Fraction(1)),): Fraction(1)}, _one(), budget)


def product_of_powers(powers: list[tuple[Generator, Fraction]], budget: Budget) -> Expression:
    """Return the product of ``powers``."""
    term, number = _normalize(powers)
    return Expression({term: number}, _one(), budget)


def _one() -> Polynomial:
    return {(): Fraction(1)}


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    result = dict(left)
    for term, number in right.items():
        result[term] = _check_size(result.get(term, Fraction(0)) + number)
    return {term: number for term, number in result.items() if number}


def _normalize(powers: list[tuple[Generator, Fraction]]) -> tuple[Monomial, Fraction]:
    """Return the product of ``powers`` as a monomial and a number; integer powers of primes and of i become numbers."""
    exponents: dict[Generator, Fraction] = {}
    for name, power in powers:
        exponents[name] = exponents.get(name, Fraction(0)) + power
    number = Fraction(1)
    for name, power in exponents.items():
        if isinstance(name, int):
            whole = math.floor(power)
            if abs(whole) * name.bit_length() > MAX_BITS:
                raise UnsupportedExpression("exponent")
            exponents[name], number = power - whole, number * Fraction(name) ** whole
        elif name == "i":
            exponents[name] = power % 2
            number *= -1 if power // 2 % 2 else 1
    kept = ((name, power) for name, power in exponents.items() if power)
    return tuple(sorted(kept, key=lambda part: str(part[0]))), number


def _check_size(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise UnsupportedExpression("digits")
    return number


def prime_factors(number: int) -> dict[int, int]:
    """Return how often each prime divides ``number``."""
    exponents: dict[int, int] = {}
    for divisor in range(2, MAX_FACTOR):
        while number % divisor == 0:
            exponents[divisor] = exponents.get(divisor, 0) + 1
            number //= divisor
    if number >= MAX_FACTOR**2:
        raise UnsupportedExpression("factors")
    return exponents | ({number: 1} if number > 1 else {})
