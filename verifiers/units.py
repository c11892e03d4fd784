"""Units of measure that differ by an exact factor."""

from fractions import Fraction

_SIZES = {
    "length": {
        "mm": "0.001",
        "cm": "0.01",
        "dm": "0.1",
        "m": "1",
        "km": "1000",
        "in": "0.0254",
        "ft": "0.3048",
        "yd": "0.9144",
        "mi": "1609.344",
    },
    "mass": {"mg": "0.001", "g": "1", "kg": "1000", "tonne": "1000000"},
    "time": {"ms": "0.001", "s": "1", "min": "60", "h": "3600", "day": "86400", "week": "604800"},
    "volume": {"ml": "0.001", "cl": "0.01", "dl": "0.1", "l": "1"},
    "money": {"cent": "0.01", "$": "1"},
}
_NAMES = {
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
    "meter": "m",
    "metre": "m",
    "kilometer": "km",
    "kilometre": "km",
    "inch": "in",
    "inche": "in",
    "foot": "ft",
    "feet": "ft",
    "yard": "yd",
    "mile": "mi",
    "milligram": "mg",
    "gram": "g",
    "kilogram": "kg",
    "millisecond": "ms",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "hour": "h",
    "hr": "h",
    "milliliter": "ml",
    "millilitre": "ml",
    "liter": "l",
    "litre": "l",
    "dollar": "$",
    "usd": "$",
    "degree": "degree",
}
_SQUARE, _CUBIC = ("square ", "sq "), ("cubic ", "cu ")


def canonical_unit(words: str) -> str:
    """One spelling of a unit in lower case: the singular, short where known, ``cm^2`` for square centimetres."""
    power = 1
    for power_words, exponent in ((_SQUARE, 2), (_CUBIC, 3)):
        for word in power_words:
            if words.startswith(word):
                words, power = words.removeprefix(word), exponent
    if "^" in words:
        words, _, exponent_text = words.partition("^")
        power *= int(exponent_text.strip(" {}") or 1)
    name = " ".join(word if len(word) < 3 else word.removesuffix("s") for word in words.split())
    name = _NAMES.get(name, name)
    return name if power == 1 else f"{name}^{power}"


def unit_ratio(unit: str, other: str) -> Fraction | None:
    """How many of ``other`` one ``unit`` is, None where they do not measure the same."""
    name, _, power = unit.partition("^")
    other_name, _, other_power = other.partition("^")
    if power != other_power:
        return None
    for sizes in _SIZES.values():
        if name in sizes and other_name in sizes:
            return (Fraction(sizes[name]) / Fraction(sizes[other_name])) ** int(power or 1)
    return None
