"""Equality check of two texts with math-verify, whose numeric comparison is replaced by an exact one."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

FEW_DIGITS = 30
"""Number of digits with which most unequal expressions are told apart."""
STEPS = ("floor", "ceiling", "frac", "Mod", "sign", "Heaviside", "Piecewise", "Max", "Min")
"""Functions with steps or branches, of which values at some points say nothing about the others."""
LARGE, MOST_NUMBERS = 10**6, 3
DIGITS = 100
"""Number of digits in which two irrational numbers must agree."""


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """Return what math-verify parses from ``text``, as a list; empty if it cannot."""
    import math_verify

    config = math_verify.LatexExtractionConfig()
    config = replace(config, normalization_config=replace(config.normalization_config, units=False))
    return math_verify.parse(  # units are handled elsewhere; math-verify would drop the c of "ab c" as a unit
        f"${text}$",
        [config],
        fallback_mode="no_fallback",
        parsing_timeout=0,
    )


def check(
    gold: str, answer: str, places: int | None = None, strict: bool = True, set_relations: bool = False
) -> dict[str, Any]:
    """Return ``{"equal": bool}``, or ``{"unparseable": "gold" | "answer"}``."""
    import math_verify
    import sympy

    if not (expected := parse(gold)):
        return {"unparseable": "gold"}
    if not (found := parse.__wrapped__(answer)):
        return {"unparseable": "answer"}
    if strict and not same_kind(expected[0], found[0]):
        return {"equal": False}
    if all(isinstance(side, sympy.Expr) for side in (expected[0], found[0])) and expressions_equal(
        expected[0], found[0]
    ):
        return {"equal": True}  # math-verify compares a symbol with a formula by their names
    rounding = -1 if places is None else places
    equal = math_verify.verify(
        expected,
        found,
        float_rounding=rounding,
        strict=strict,
        allow_set_relation_comp=set_relations,
        timeout_seconds=0,
    )
    return {"equal": bool(equal)}


def same_kind(expected: Any, found: Any) -> bool:
    """Return False for a set against a tuple, and for an equation if a value is expected."""
    import sympy

    ordered, unordered = (sympy.Tuple, sympy.Interval), sympy.FiniteSet
    if (isinstance(expected, ordered) and isinstance(found, unordered)) or (
        isinstance(expected, unordered) and isinstance(found, ordered)
    ):
        return False
    if isinstance(found, sympy.Eq) and not isinstance(expected, sympy.Eq):
        return bool(found.lhs.is_Symbol) and not isinstance(expected, sympy.core.relational.Relational)
    return True


def make_exact() -> None:
    """Replace math-verify's numeric comparison, which equates 1/2004! with 0 and 0.333333 with 1/3."""
    from math_verify import grader

    grader.sympy_numeric_eq = numbers_equal
    grader.sympy_symbolic_eq = expressions_equal


def numbers_equal(left: Any, right: Any, rounding: int, _precision: int) -> bool:
    """Return whether two expressions without variables are equal; ``rounding`` is in decimals, or -1 for none."""
    if hasattr(left, "shape") or hasattr(right, "shape"):
        return matrices_equal(left, right, rounding)
    if left.free_symbols or right.free_symbols:
        return False
    import sympy

    rounded = left.has(sympy.Float) or right.has(sympy.Float)
    left, right = exact(left), exact(right)
    if left == right:
        return True
    if rounded and rounding >= 0:
        return rounds_alike(left, right, rounding)
    if left.is_Rational and right.is_Rational:
        return False
    difference = (left - right).evalf(DIGITS)
    size = abs(left.evalf(DIGITS))
    if not (difference.is_number and size.is_number and difference.is_finite):
        return False
    return bool(abs(difference) <= size * sympy.Float(10) ** (5 - DIGITS))


def rounds_alike(left: Any, right: Any, rounding: int) -> bool:
    """Return whether both round to the same number; below 1, to significant digits, so that not all are 0."""
    import sympy

    values = [value.evalf(DIGITS) for value in (left, right)]
    if not all(value.is_Float or value.is_Rational for value in values):
        return False
    numbers = [Fraction(str(sympy.Rational(str(value)))) for value in values]
    scale, size = Fraction(10) ** rounding, max(map(abs, numbers))
    while 0 < size < Fraction(1, 10):
        size, scale = size * 10, scale * 10
    return round(numbers[0] * scale) == round(numbers[1] * scale)


def matrices_equal(left: Any, right: Any, rounding: int) -> bool:
    """Return whether two matrices have the same shape and equal elements."""
    if not (hasattr(left, "shape") and hasattr(right, "shape")):
        return False
    left, right = left.doit(), right.doit()
    if left.shape != right.shape or not (hasattr(left, "flat") and hasattr(right, "flat")):
        return False
    pairs = zip(left.flat(), right.flat(), strict=True)
    return all(numbers_equal(a, b, rounding, 0) or expressions_equal(a, b) for a, b in pairs)


def expressions_equal(left: Any, right: Any) -> bool:
    """Return whether two expressions with variables have the same value wherever both are real numbers.

    Their values decide at points with positive coordinates, and with negative ones for each variable that can be
    negative alone: in the root of l/g neither can, so both are positive. Without a point where both are real, sympy
    must prove that they are equal.
    """
    import sympy

    if hasattr(left, "shape") or hasattr(right, "shape") or not (left.free_symbols or right.free_symbols):
        return False
    left, right = exact(left), exact(right)
    difference = left - right
    if difference == 0 or sympy.expand(difference) == 0:
        return True
    if left.free_symbols != right.free_symbols and not difference.free_symbols:
        return bool(sympy.simplify(difference).is_zero)
    if difference.has(*(getattr(sympy, name) for name in STEPS)):
        return bool(sympy.simplify(difference).is_zero)  # such functions may agree at every point that is tried
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    places = list(points(difference, symbols))
    real = 0
    for number, point in enumerate(places):
        alike = alike_at(left, right, point, FEW_DIGITS)
        if alike is False or (alike and number < 2 and not alike_at(left, right, point, 2 * DIGITS)):
            return False
        real += bool(alike)
    if not real:
        return bool(sympy.simplify(difference).is_zero)
    free = set()
    for symbol in symbols:
        for point in places[:3]:
            alike = alike_at(left, right, {**point, symbol: -point[symbol]}, FEW_DIGITS)
            if alike is False:
                return False
            free |= {symbol} if alike else set()
    turned = ({symbol: -value if symbol in free else value for symbol, value in point.items()} for point in places[:2])
    return not any(alike_at(left, right, point, FEW_DIGITS) is False for point in turned)


def points(expression: Any, symbols: list[Any]) -> Iterator[dict[Any, Any]]:
    """Yield places with positive coordinates to compare expressions at: of all sizes, and beside their numbers."""
    import sympy

    sizes = [sympy.Rational(top, bottom) for top, bottom in ((13, 7), (5, 11), (31, 3), (2, 23), (977, 10), (50021, 7))]
    numbers = sorted({abs(number) for number in expression.atoms(sympy.Integer) if 1 < abs(number) < LARGE})
    sizes += [number + sympy.Rational(1, 3) for number in numbers[-MOST_NUMBERS:]]
    for number, size in enumerate(sizes):
        yield {symbol: size * (1 + sympy.Rational(place, 3 + number)) for place, symbol in enumerate(symbols)}


def alike_at(left: Any, right: Any, point: dict[Any, Any], digits: int) -> bool | None:
    """Return whether both have the same value at ``point``; None if one of them is not a real number there."""
    import sympy

    try:
        values = [side.subs(point).evalf(digits) for side in (left, right)]
    except (OverflowError, ValueError):
        return None
    if not all(value.is_number and value.is_finite and value.is_real for value in values):
        return None
    size = max(abs(value) for value in values)
    return bool(abs(values[0] - values[1]) <= size * sympy.Float(10) ** (10 - digits))


def exact(expression: Any) -> Any:
    """Return the evaluated expression, with decimals converted to exact fractions."""
    import sympy

    floats = {number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)}
    return expression.xreplace(floats).doit()
