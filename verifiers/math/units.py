"""Units of measure and the exact conversion factors between them."""

import re
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
    "eur": "euro",
    "€": "euro",
    "£": "pound",
    "gbp": "pound",
    "₹": "rupee",
    "rs": "rupee",
    "rupee": "rupee",
    "inr": "rupee",
    "mph": "mi/h",
    "kph": "km/h",
    "kmh": "km/h",
    "kmph": "km/h",
    "degree": "degree",
}
_TRAILING = re.compile(
    r"(?P<value>.*?[^\s⟩])\s*(?:⟨(?P<text>[^⟨⟩]+)⟩|(?<=[\s}])(?P<words>[A-Za-z]{2,}(?: [a-z]+)?))"
    r"\s*(?P<power>\^\s*(?:[23]|\{[23]\}))?",
    re.DOTALL,
)
_NOT_UNITS = re.compile(
    r"\b(?:and|at|choose|cubed|dozen|factorial|for|hundred|if|infinity|least|less|log|million|billion|trillion|thousand"
    r"|but|false|incorrect|is|maybe|no|out|perhaps|was|wrong"
    r"|minus|mod|more|most|not|or|pi|plus|root|sin|cos|sqrt|squared|tan|th|times|where|with)\b"
)
"""Words that change the meaning of a number, so that they are not units."""
_SQUARE, _CUBIC = ("square ", "sq ", "sq. "), ("cubic ", "cu ", "cu. ")


def canonical_unit(words: str) -> str:
    """Return a lower-case unit in canonical spelling: singular, abbreviated if known, with powers as in ``cm^2``."""
    top, _, bottom = re.sub(r"\s+per\s+", "/", words).partition("/")
    if top.strip() and bottom.strip():
        return f"{canonical_unit(top.strip())}/{canonical_unit(bottom.strip())}"
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
    """Return how many of ``other`` make one ``unit``, or None if they cannot be converted."""
    if "/" in unit and "/" in other:
        (top, _, bottom), (other_top, _, other_bottom) = unit.partition("/"), other.partition("/")
        ratios = unit_ratio(top, other_top), unit_ratio(bottom, other_bottom)
        return ratios[0] / ratios[1] if ratios[0] and ratios[1] else None
    name, _, power = unit.partition("^")
    other_name, _, other_power = other.partition("^")
    if power != other_power:
        return None
    if name == other_name:
        return Fraction(1)
    for sizes in _SIZES.values():
        if name in sizes and other_name in sizes:
            return (Fraction(sizes[name]) / Fraction(sizes[other_name])) ** int(power or 1)
    return None


def is_unit(words: str) -> bool:
    """Return whether ``words``, in lower case, may be a unit, that is, do not change the number before them."""
    return not _NOT_UNITS.search(words)


def split_unit(text: str) -> tuple[str, str]:
    """Split ``text``, in plain notation, into its value and its canonical unit; the unit is empty if there is none."""
    match = _TRAILING.fullmatch(text)
    if match is None:
        return text, ""
    words = (match["text"] or match["words"]).strip(" .").lower()
    unit = canonical_unit(words + (match["power"] or ""))
    if not words or not is_unit(words) or (match["words"] and not is_known(unit)):
        return text, ""
    return match["value"], unit


def is_known(unit: str) -> bool:
    """Return whether the unit can be converted."""
    return all(any(part.partition("^")[0] in sizes for sizes in _SIZES.values()) for part in unit.split("/"))
