"""Unit of measure as a factor, an offset and a dimension; the package pint knows the names."""

import math
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

MAX_FACTORS = 12
"""Most names in one unit."""
MAX_POWER = 12
"""Largest power of one name."""
MAX_SIZE = 100
"""Most powers of ten that a unit, or a part of it, is larger or smaller than the base units."""
MAX_DEPTH = 4
"""Most brackets inside one another."""

_ALIASES = {
    **{"°": "degree", "%": "percent", "‰": "permille", "pct": "percent", "℃": "degC", "℉": "degF"},
    **{"Nm": "newton meter", "kNm": "kilonewton meter", "mNm": "millinewton meter", "MNm": "meganewton meter"},
    **{"kmh": "kilometer_per_hour", "kmph": "kilometer_per_hour", "Kmh": "kilometer_per_hour"},
    **{
        "rev": "turn",
        "revs": "turn",
        "rps": "turn / second",
        "Cal": "kilocalorie",
        "mpg": "mile / gallon",
        "Torr": "torr",
    },
    **{"AU": "astronomical_unit", "Kg": "kg", "KG": "kg", "Km": "km", "KM": "km", "cm³": "cm^3", "hz": "hertz"},
    **{"khz": "kilohertz", "KHz": "kilohertz", "mhz": "megahertz", "ghz": "gigahertz", "Sec": "second", "Hr": "hour"},
    **{"sqft": "foot^2", "sqm": "meter^2", "ccm": "cm^3", "cbm": "meter^3", "mins": "minute", "secs": "second"},
}
_MAGNETIC = {"gauss": (1e-4, "tesla"), "maxwell": (1e-8, "weber")}
"""Units that pint has in another system, in which they cannot be converted to those of SI."""
_SQUARES = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SQUARED = {"squared": 2, "cubed": 3}
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-zμΩωÅåℓΔ°%‰℃℉³_]+)|(?P<power>\^|\*\*)|(?P<number>[-+]?\d{1,3}(?:\.\d{1,3})?)"
    r"|(?P<mark>[/()·*.×-]))"
)


class UnknownUnit(ValueError):
    """The text is not a unit; the message says which part of it."""


class Unit(NamedTuple):
    """A unit.

    Attributes:
        factor: how many base units it is.
        dimension: the base units and their powers, in order; an angle counts as a dimension.
        offset: what is added to a value after the factor, for temperatures.
        turns: whether angles are counted in turns, as in hertz and rpm.
    """

    factor: float = 1.0
    dimension: tuple[tuple[str, float], ...] = ()
    offset: float = 0.0
    turns: bool = False

    def is_larger(self, other: "Unit") -> bool:
        """Return whether it is a larger unit of the same dimension, on a scale that begins at 0."""
        return self.dimension == other.dimension and not self.offset and not other.offset and self.factor > other.factor

    @property
    def angle(self) -> float:
        """The power of the angle in the dimension."""
        return dict(self.dimension).get("radian", 0.0)


@lru_cache(maxsize=4096)
def read_unit(text: str) -> tuple[Unit, ...]:
    """Return the unit in ``text``, which is in plain notation; two units if a slash can be read in two ways.

    ``J/kg K`` is read as J/(kg K) and as (J/kg) K. Only names are looked up; nothing is evaluated.

    Raises:
        UnknownUnit: a name is unknown, or the text is no product of powers.
    """
    tokens = _tokens(text)
    readings = {_Reader(tokens, greedy).unit() for greedy in (False, True)}
    return tuple(sorted(readings, key=str))


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    text = text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise UnknownUnit(f"{text[place:][:20]!r} is not part of a unit")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        place = match.end()
    return found


class _Reader:
    """Reads a product of powers from left to right.

    With ``greedy``, a slash divides by all that follows up to the next slash; else only by the next factor.
    """

    def __init__(self, tokens: list[tuple[str, str]], greedy: bool) -> None:
        self.tokens, self.greedy, self.place = tokens, greedy, 0
        self.factors: list[tuple[str, float]] = []

    def unit(self) -> Unit:
        self._product(1.0, 0)
        if self.place < len(self.tokens):
            raise UnknownUnit(f"{self.tokens[self.place][1]!r} stands alone")
        return _combined(self.factors)

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def _product(self, outer: float, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise UnknownUnit("too many brackets")
        sign, pending = 1.0, True
        while True:
            kind, text = self._peek()
            if text in ("/", "per", "Per"):
                sign, pending = -1.0, True
            elif text in ("·", "*", "×", "-", ".") and not pending:
                pending = True
            elif kind in ("name", "number") or text == "(":
                self._factor(outer * sign, depth)
                if not self.greedy:
                    sign = 1.0
                pending = False
                continue
            else:
                break
            self.place += 1
        if pending:
            raise UnknownUnit("a factor is missing")

    def _factor(self, sign: float, depth: int) -> None:
        kind, text = self._peek()
        self.place += 1
        power = 1.0
        if text in _SQUARES:
            power = float(_SQUARES[text])
            kind, text = self._peek()
            self.place += 1
        if text == "(":
            start = len(self.factors)
            self._product(1.0, depth + 1)
            if self._peek()[1] != ")":
                raise UnknownUnit("a bracket does not close")
            self.place += 1
            power *= self._power()
            self.factors[start:] = [(name, inner * power * sign) for name, inner in self.factors[start:]]
        elif kind == "name":
            self.factors.append((text, power * self._power() * sign))
        elif text != "1":
            raise UnknownUnit(f"{text!r} is not part of a unit")
        if len(self.factors) > MAX_FACTORS:
            raise UnknownUnit(f"more than {MAX_FACTORS} factors")

    def _power(self) -> float:
        """Return the power after a factor: ``^2``, ``^(-1/2)``, or a number that follows a name at once, as in m2."""
        kind, text = self._peek()
        if text in _SQUARED:
            self.place += 1
            return float(_SQUARED[text])
        if kind == "power":
            self.place += 1
        elif kind != "number" or text == "1":
            return 1.0
        bracket = self._peek()[1] == "("
        self.place += bracket
        value = self._number()
        if bracket:
            if self._peek()[1] == "/":
                self.place += 1
                value /= self._number() or math.nan
            if self._peek()[1] != ")":
                raise UnknownUnit("a bracket does not close")
            self.place += 1
        if not abs(value) <= MAX_POWER:
            raise UnknownUnit(f"a power is at most {MAX_POWER}")
        return value

    def _number(self) -> float:
        kind, text = self._peek()
        if kind != "number":
            raise UnknownUnit("a power is not a number")
        self.place += 1
        return float(text)


def _combined(factors: Iterable[tuple[str, float]]) -> Unit:
    """Return the product of named units with their powers; an offset counts only for a unit alone."""
    factors = list(factors)
    found = [(named(name), power) for name, power in factors]
    if len(found) == 1 and found[0][1] == 1:
        return found[0][0]
    powers: dict[str, float] = {}
    sizes = [power * math.log10(unit.factor) for unit, power in found]
    if abs(sum(sizes)) > MAX_SIZE or any(abs(size) > MAX_SIZE for size in sizes):
        raise UnknownUnit("the unit is too large or too small")
    for unit, power in found:
        for base, inner in unit.dimension:
            powers[base] = powers.get(base, 0.0) + inner * power
    factor = math.prod(unit.factor**power for unit, power in found)
    return Unit(factor, _sorted(powers), turns=any(unit.turns for unit, _ in found))


def _sorted(powers: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((base, round(power, 6)) for base, power in powers.items() if abs(power) > 1e-9))


_lock = threading.Lock()


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


def load_units() -> None:
    """Load pint's units now, which takes half a second, so that the first verdict need not wait for them."""
    with _lock:
        _registry()


@lru_cache(maxsize=4096)
def named(name: str) -> Unit:
    """Return the unit of one name, with its prefix.

    Raises:
        UnknownUnit: nothing has this name.
    """
    if name in _ALIASES:
        return read_unit(_ALIASES[name])[0]
    if len(name) > 40:
        raise UnknownUnit(f"{name[:20]!r} is no unit")
    with _lock:  # the registry fills its caches while it looks up a name
        registry = _registry()
        parsed = registry.parse_unit_name(name)
        if not parsed and len(name) > 3:
            name = name.lower()
            parsed = registry.parse_unit_name(name)
        if not parsed:
            raise UnknownUnit(f"{name[:40]!r} is no unit")
        prefix, base, _ = parsed[0]
        converter = registry._units[base].converter
        if converter is not None and converter.is_logarithmic:  # a level, which only equals a level of its own kind
            return Unit(registry._prefixes[prefix].converter.scale if prefix else 1.0, ((base, 1.0),))
        scale, known = _MAGNETIC.get(base, (1.0, base))
        factor, roots = registry.get_root_units(prefix + known)
        factor *= scale
    if not factor > 0:  # some constants, such as g_e
        raise UnknownUnit(f"{name!r} is no unit")
    powers = {str(root): float(power) for root, power in roots._units.items() if str(root) != "count"}
    turns = base in ("hertz", "turn", "revolutions_per_minute", "revolutions_per_second")
    if base == "hertz":  # one turn per second
        factor, powers = factor * math.tau, powers | {"radian": 1.0}
    offset = 0.0 if prefix or converter is None or converter.is_multiplicative else float(converter.offset)
    return Unit(float(factor), _sorted(powers), offset, turns)
