r"""Exponentials, sines, cosines and logarithms as exact expressions over algebraically independent generators.

``e^{c m}``, for a rational c and a monomial m, is the power c of its own generator. Sine and cosine are sums of such
powers of ``e^{i m}``, so that every identity between them is polynomial. Logarithms are sums of logarithms of primes
and variables. Any other function is an opaque generator: equal for equal arguments, otherwise undecided.
"""

from fractions import Fraction

from .expression import (
    POSITIVE,
    Expression,
    Generator,
    Monomial,
    UnsupportedExpression,
    constant,
    prime_factors,
    product_of_powers,
    symbol,
)

OPAQUE = "?"
"""Marker in the name of an opaque generator, which may be related to others."""
UNKNOWN_BASE = f"{OPAQUE}base"
"""The natural logarithm of the base of ``\\log`` without a base, which cancels in a quotient of two."""
MAX_NAME = 300
"""Longest name of a generator, in characters; names grow with nesting."""
_LOGARITHM = "ln "
_HALF_TURNS: Monomial = ((r"\pi", Fraction(1)), ("i", Fraction(1)))


def raised_to(base: Expression, exponent: Expression) -> Expression:
    """Return ``base`` to the power of ``exponent``.

    Raises:
        UnsupportedExpression: the base is neither a product of positive numbers nor one variable.
    """
    if exponent.number is not None:
        return base.power(exponent.number)
    if exponent.denominator != {(): 1} or base.denominator != {(): 1} or len(base.numerator) != 1:
        raise UnsupportedExpression("exponent")
    result = constant(Fraction(1), base.budget)
    for name, power in _positive_factors(base).items():
        result = result * _exponential(name, exponent * constant(power, base.budget))
    return result


def sine(angle: Expression) -> Expression:
    """Return the sine of ``angle``."""
    forth, back = _conjugate_exponentials(angle)
    return (forth + -back) / (symbol("i", angle.budget) * constant(Fraction(2), angle.budget))


def cosine(angle: Expression) -> Expression:
    """Return the cosine of ``angle``."""
    forth, back = _conjugate_exponentials(angle)
    return (forth + back) * constant(Fraction(1, 2), angle.budget)


def logarithm(value: Expression) -> Expression:
    """Return the natural logarithm of ``value``.

    Raises:
        UnsupportedExpression: ``value`` is zero.
    """
    if not value.numerator:
        raise UnsupportedExpression("logarithm of zero")
    try:
        powers = _positive_factors(value)
    except UnsupportedExpression:
        return opaque("ln", value)
    result = constant(Fraction(0), value.budget)
    for name, power in powers.items():
        one = constant(Fraction(1), value.budget) if name == "e" else symbol(f"{_LOGARITHM}{name}", value.budget)
        result = result + one * constant(power, value.budget)
    return result


def opaque(function: str, *values: Expression) -> Expression:
    """Return ``function`` of ``values`` as an opaque generator: only equal arguments are known to give equal values."""
    arguments = ",".join(canonical(value) for value in values)
    return symbol(_check_length(f"{OPAQUE}{function}({arguments})"), values[0].budget)


def canonical(value: Expression) -> str:
    """Return a text that only equal expressions have; two equal quotients of sums may have different ones."""
    parts = []
    for polynomial in (value.numerator, value.denominator):
        if len(polynomial) > MAX_NAME:
            raise UnsupportedExpression("a long sum in a function")
        parts.append("+".join(sorted(f"{number}*{_name_of(term)}" for term, number in polynomial.items())))
    return parts[0] if value.denominator == {(): 1} else "/".join(parts)


def is_opaque(expression: Expression) -> bool:
    """Return whether an opaque generator occurs, so that different forms may still be equal."""
    terms = [*expression.numerator, *expression.denominator]
    return any(OPAQUE in name for term in terms for name, _ in term if isinstance(name, str))


def _positive_factors(value: Expression) -> dict[Generator, Fraction]:
    """Return the factors of a positive number times at most one variable, whose logarithms can be added."""
    if value.denominator != {(): 1} or len(value.numerator) != 1:
        raise UnsupportedExpression("a sum")
    ((term, number),) = value.numerator.items()
    variables = [(name, power) for name, power in term if isinstance(name, str) and name not in POSITIVE]
    if number < 0 or len(variables) > 1 or any(power != 1 or name == "i" for name, power in variables):
        raise UnsupportedExpression("what may be negative")
    powers: dict[Generator, Fraction] = dict(term)
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        for prime, times in prime_factors(part).items():
            powers[prime] = powers.get(prime, Fraction(0)) + sign * times
    return powers


def _exponential(base: Generator, exponent: Expression) -> Expression:
    result = constant(Fraction(1), exponent.budget)
    for term, number in exponent.numerator.items():
        result = result * _one_exponential(base, term, number, exponent)
    return result


def _one_exponential(base: Generator, term: Monomial, number: Fraction, context: Expression) -> Expression:
    """Return ``base`` to the power of ``number * term``."""
    if base == "e" and term == _HALF_TURNS:
        return _root_of_unity(number, context)
    if base == "e":
        for name, power in term:
            if isinstance(name, str) and name.startswith(_LOGARITHM) and power == 1:
                inner = name.removeprefix(_LOGARITHM)
                base = int(inner) if inner.isdigit() else inner
                term = tuple(part for part in term if part[0] != name)
                break
    name = base if not term else _check_length(f"{base}^({_name_of(term)})")
    return product_of_powers([(name, number)], context.budget)


def _root_of_unity(turn: Fraction, context: Expression) -> Expression:
    """Return ``e`` to the power of ``i pi turn``, if square roots can express it."""
    parts = [_exact_cosine(turn, context), _exact_cosine(turn - Fraction(1, 2), context)]
    return parts[0] + parts[1] * symbol("i", context.budget)


def _exact_cosine(turn: Fraction, context: Expression) -> Expression:
    turn = abs(turn) % 2
    turn = min(turn, 2 - turn)
    squares = {Fraction(0): 4, Fraction(1, 6): 3, Fraction(1, 4): 2, Fraction(1, 3): 1, Fraction(1, 2): 0}
    small = min(turn, 1 - turn)
    if small not in squares:
        raise UnsupportedExpression("angle")
    size = constant(Fraction(squares[small], 4), context.budget).root(2)
    return size if turn == small else -size


def _conjugate_exponentials(angle: Expression) -> tuple[Expression, Expression]:
    """Return ``e`` to the power of ``i angle`` and of ``-i angle``."""
    base, exponent = symbol("e", angle.budget), symbol("i", angle.budget) * angle
    return raised_to(base, exponent), raised_to(base, -exponent)


def _name_of(term: Monomial) -> str:
    return _check_length("*".join(f"{name}**{power}" for name, power in term))


def _check_length(name: str) -> str:
    if len(name) > MAX_NAME:
        raise UnsupportedExpression("a deeply nested function")
    return name
