r"""Exponentials, sines, cosines and logarithms as exact expressions, in generators between which no relation is left.

``e^{c m}``, for a rational c and a monomial m, is the power c of a generator of its own; sine and cosine are sums of
such powers of ``e^{i m}``, so that every identity between them is one of polynomials. Logarithms are sums of those of
primes and variables. What this does not reach stands in an opaque generator: alike where its argument is, else
undecided.
"""

from fractions import Fraction

from .algebra import POSITIVE, Expression, Generator, Monomial, TooMuch, constant, factors, make, symbol

OPAQUE = "?"
"""Part of the name of a generator that may be related to others."""
MAX_NAME = 300
"""Characters of a generator's name, which grows with what is nested in it."""
_LOGARITHM = "ln "
_HALF_TURNS: Monomial = ((r"\pi", Fraction(1)), ("i", Fraction(1)))


def raised(base: Expression, exponent: Expression) -> Expression:
    """``base`` to the power of ``exponent``.

    Raises:
        TooMuch: the base is not a product of positive numbers, or one variable.
    """
    if exponent.number is not None:
        return base.power(exponent.number)
    if exponent.bottom != {(): 1} or base.bottom != {(): 1} or len(base.top) != 1:
        raise TooMuch("exponent")
    result = constant(Fraction(1), base.budget)
    for name, power in _positive_factors(base).items():
        result = result * _exponential(name, exponent * constant(power, base.budget))
    return result


def sine(angle: Expression) -> Expression:
    """The sine."""
    forth, back = _turns(angle)
    return (forth + -back) / (symbol("i", angle.budget) * constant(Fraction(2), angle.budget))


def cosine(angle: Expression) -> Expression:
    """The cosine."""
    forth, back = _turns(angle)
    return (forth + back) * constant(Fraction(1, 2), angle.budget)


def logarithm(value: Expression) -> Expression:
    """The natural logarithm.

    Raises:
        TooMuch: of zero.
    """
    if not value.top:
        raise TooMuch("logarithm of zero")
    try:
        powers = _positive_factors(value)
    except TooMuch:
        return opaque("ln", value)
    result = constant(Fraction(0), value.budget)
    for name, power in powers.items():
        one = constant(Fraction(1), value.budget) if name == "e" else symbol(f"{_LOGARITHM}{name}", value.budget)
        result = result + one * constant(power, value.budget)
    return result


def opaque(function: str, value: Expression) -> Expression:
    """``function`` of ``value``, of which no more is known than that equal arguments give equal values."""
    if value.bottom != {(): 1} or len(value.top) > MAX_NAME:
        raise TooMuch("a quotient or long sum in a function")
    terms = "+".join(sorted(f"{number}*{_key(term)}" for term, number in value.top.items()))
    return symbol(_bounded(f"{OPAQUE}{function}({terms})"), value.budget)


def is_opaque(expression: Expression) -> bool:
    """Whether it holds an opaque generator, so that unlike forms may be equal all the same."""
    terms = [*expression.top, *expression.bottom]
    return any(OPAQUE in name for term in terms for name, _ in term if isinstance(name, str))


def _positive_factors(value: Expression) -> dict[Generator, Fraction]:
    """The factors of a positive number, times at most one variable: their logarithms add up."""
    if value.bottom != {(): 1} or len(value.top) != 1:
        raise TooMuch("a sum")
    ((term, number),) = value.top.items()
    variables = [(name, power) for name, power in term if isinstance(name, str) and name not in POSITIVE]
    if number < 0 or len(variables) > 1 or any(power != 1 or name == "i" for name, power in variables):
        raise TooMuch("what may be negative")
    powers: dict[Generator, Fraction] = dict(term)
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        for prime, times in factors(part).items():
            powers[prime] = powers.get(prime, Fraction(0)) + sign * times
    return powers


def _exponential(base: Generator, exponent: Expression) -> Expression:
    result = constant(Fraction(1), exponent.budget)
    for term, number in exponent.top.items():
        result = result * _one_exponential(base, term, number, exponent)
    return result


def _one_exponential(base: Generator, term: Monomial, number: Fraction, context: Expression) -> Expression:
    """``base`` to the power of ``number * term``."""
    if base == "e" and term == _HALF_TURNS:
        return _root_of_unity(number, context)
    if base == "e":
        for name, power in term:
            if isinstance(name, str) and name.startswith(_LOGARITHM) and power == 1:
                inner = name.removeprefix(_LOGARITHM)
                base = int(inner) if inner.isdigit() else inner
                term = tuple(part for part in term if part[0] != name)
                break
    name = base if not term else _bounded(f"{base}^({_key(term)})")
    return make([(name, number)], context.budget)


def _root_of_unity(turn: Fraction, context: Expression) -> Expression:
    """``e`` to the power of ``i pi turn``, where square roots say what that is."""
    parts = [_known_cosine(turn, context), _known_cosine(turn - Fraction(1, 2), context)]
    return parts[0] + parts[1] * symbol("i", context.budget)


def _known_cosine(turn: Fraction, context: Expression) -> Expression:
    turn = abs(turn) % 2
    turn = min(turn, 2 - turn)
    squares = {Fraction(0): 4, Fraction(1, 6): 3, Fraction(1, 4): 2, Fraction(1, 3): 1, Fraction(1, 2): 0}
    small = min(turn, 1 - turn)
    if small not in squares:
        raise TooMuch("angle")
    size = constant(Fraction(squares[small], 4), context.budget).root(2)
    return size if turn == small else -size


def _turns(angle: Expression) -> tuple[Expression, Expression]:
    """``e`` to the power of ``i angle`` and of ``-i angle``."""
    base, exponent = symbol("e", angle.budget), symbol("i", angle.budget) * angle
    return raised(base, exponent), raised(base, -exponent)


def _key(term: Monomial) -> str:
    return _bounded("*".join(f"{name}**{power}" for name, power in term))


def _bounded(name: str) -> str:
    if len(name) > MAX_NAME:
        raise TooMuch("a deeply nested function")
    return name
