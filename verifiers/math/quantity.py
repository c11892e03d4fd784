"""Exact parser for written numbers: ``1,080``, ``$18``, ``\\frac{1}{2}``, ``50\\%``, ``5 km``, ``101_2``."""

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

from .notation.plain import to_plain
from .units import canonical_unit, is_known, is_unit, unit_ratio

MAX_LENGTH = 1000
"""Longest text, in characters, that is read as a number."""

NUMERAL = r"0,\d{3,}(?![\d,])|(?:(?!0+,)\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
"""Pattern of an unsigned numeral, with thousands separators allowed; after a zero alone, a comma is a decimal one."""

_EUROPEAN = re.compile(r"([-+]?\d{1,3}(?:\.\d{3})+),(\d+)|([-+]?\d{1,3}(?: \d{3})+),(\d+)")

_SIGNED = rf"[-+]?\s*(?:{NUMERAL})"
_POWER = (
    r"(?:[eE](?P<exponent>[-+]?\d{1,3})"
    r"|\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:(?P<power>\d)|\{(?P<powers>[-+]?\d{1,3})\}))"
)
_NUMBER = (
    rf"(?P<sign>[-+]?)\s*(?P<dollar>\$?)\s*(?P<inner>[-+]?)(?P<digits>\d{{1,3}}(?: \d{{3}})+(?:\.\d+)?|{NUMERAL})"
    rf"(?:{_POWER}|\s*_\s*(?:(?P<base>\d)|\{{\s*(?P<bases>\d{{1,2}})\s*\}}))?"
)
_FRACTION = rf"(?P<sign>[-+]?)\s*(?P<whole>\d*)\s*\\frac\{{(?P<top>{_SIGNED})\}}\{{(?P<bottom>{_SIGNED})\}}"
_RATIO = rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)\s+)?(?P<top>{NUMERAL})\s*/\s*(?P<bottom>{NUMERAL})"
_SQUARED = r"(?:\s*\^\s*(?:[23]|\{[23]\}))?"
_KNOWN = r"(?:[mck]m|kg|mg|ft)"
_TAIL = (
    r"\s*(?P<percent>%|per ?cent(?:age)?\b|pct\b)?"
    rf"(?P<unit>\s*(?:⟨[^⟨⟩]*⟩{_SQUARED}|\s[A-Za-z][A-Za-z/ .]*|\s?{_KNOWN}{_SQUARED}|\$))?\s*\.?"
)
_FORMS = [re.compile(form + _TAIL, re.ASCII) for form in (_FRACTION, _RATIO, _NUMBER)]

_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = re.compile(rf"(?<=\d)(?P<mark>\s*⟨)?\s*(?P<name>{'|'.join(_SCALES)})s?(?![A-Za-z])")
_CURRENCY = re.compile(r"^⟨?\s*(US\$|USD|EUR|GBP|INR|Rs\.?|[€£₹])\s*⟩?\s*([-+]?\d.*)$", re.DOTALL)
_CURRENCY_AFTER = re.compile(r"(?<=\d)\s*([€£₹])$")
_QUOTIENT_OF_UNITS = re.compile(r"\s*(?:\\frac\{\s*⟨([^⟨⟩]*)⟩\s*\}\{\s*⟨([^⟨⟩]*)⟩\s*\}|⟨([^⟨⟩/]*)⟩\s*/\s*⟨([^⟨⟩/]*)⟩)")
_MEASURE = re.compile(r"(?P<value>.*[\d}])\s+(?P<unit>[A-Za-z]{1,4}(?:/[A-Za-z]{1,4})?(?:\^\d)?)", re.DOTALL)
_TWO_MEASURES = re.compile(
    r"(\d[\d.,]*\s*(?:⟨[^⟨⟩\d]+⟩|\s[A-Za-z]+))[\s,]*(?:⟨?\s*and\s*⟩?)?\s*(\d[\d.,]*\s*(?:⟨[^⟨⟩\d]+⟩|\s[A-Za-z]+))"
)
_REPEATING = re.compile(
    r"(?<![\d.,])(\d{0,20})\.(?:(\d{0,20})\((\d{1,20})\)|(\d{0,20}?)(\d{1,4}?)\5{2,}\s*\\(?:l|c)?dots)$"
)

_VARIABLE = re.compile(r"\b[a-fh-ln-z]\b")
"""A single letter is a variable, except for the metre and the gram."""


@dataclass(frozen=True)
class Quantity:
    """An exact number with its unit.

    Attributes:
        value: the number as written; ``50%`` has value 50.
        percent: whether a percent sign follows.
        unit: in lower case and singular, empty if there is none; ``$`` for dollars, ``base 2`` for ``101_2``.
        decimal: whether it is written with a decimal point and may be rounded.
    """

    value: Fraction
    percent: bool = False
    unit: str = ""
    decimal: bool = field(default=False, compare=False)

    def equals(self, expected: "Quantity", places: int | None = None) -> bool:
        """Return whether this answer equals ``expected``; decimals may be rounded to ``places``, if given.

        Units are compared only if both have one, but a base is part of the number. A percentage is a hundredth of its
        number. If the expected answer has no percent sign, an answer in percent may also mean the number itself, since
        datasets drop the sign.
        """
        ratio = Fraction(1)
        if self.unit != expected.unit:
            if self.unit.startswith("base ") or expected.unit.startswith("base "):
                return False
            known = unit_ratio(self.unit, expected.unit) if self.unit and expected.unit else ratio
            if known is None:
                return False
            ratio = known
        meanings = {self._scaled * ratio}
        if self.percent and not expected.percent:
            meanings.add(self.value)
        if places is not None and (self.decimal or expected.decimal):
            return any(near(meaning, expected._scaled, places) for meaning in meanings)
        return expected._scaled in meanings

    @property
    def _scaled(self) -> Fraction:
        return self.value / 100 if self.percent else self.value


def near(left: Fraction, right: Fraction, places: int) -> bool:
    """Return whether both round to the same number with ``places`` decimals.

    Below 1, ``places`` are significant digits, so that tiny numbers do not all round to 0.
    """
    size, scale = max(abs(left), abs(right)), Fraction(10) ** places
    if size:
        scale *= Fraction(10) ** max(0, len(str(size.denominator)) - len(str(size.numerator)) - 1)
    return round(left * scale) == round(right * scale)


def read_quantity(text: str) -> Quantity | None:
    """Return the whole of ``text``, in plain text or LaTeX, as a quantity, or None if it is not one."""
    if len(text) > MAX_LENGTH:
        return None
    text = to_plain(text)
    if text.isdecimal():
        return Quantity(Fraction(int(text))) if len(text) < 4000 else None
    if "⟨" in text or not text.isascii() or text[-1:].isalpha() or text[:1].isalpha():
        text = _QUOTIENT_OF_UNITS.sub(lambda match: f" ⟨{'/'.join(filter(None, match.groups()))}⟩", text)
        text = _CURRENCY_AFTER.sub(r" ⟨\1⟩", _CURRENCY.sub(r"\2 ⟨\1⟩", text))
    if text.endswith((")", "dots")) and "." in text:
        text = _REPEATING.sub(_repeating, text)
    if "," in text and (european := _EUROPEAN.fullmatch(text)):
        text = re.sub(r"[. ]", "", european[1] or european[3]) + "." + (european[2] or european[4])
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _quantity(match)
    return None


def read_scaled(text: str) -> Quantity | None:
    """Return a number with a word that multiplies it, such as ``2.5 million dollars``, or None if it is not one."""
    text = to_plain(text)
    match = _SCALE.search(text)
    if match is None:
        return None
    rest = f"{text[: match.start()]}{match['mark'] or ''}{text[match.end() :]}"
    found = read_quantity(re.sub(r"\s*⟨\s*⟩", "", rest))
    return replace(found, value=found.value * _SCALES[match["name"]]) if found else None


def read_measure(text: str) -> Quantity | None:
    """Return a number with a known unit that could also be a product, such as ``5 m/s``, or two such numbers.

    ``2\\text{ hours }30\\text{ minutes}`` has the unit of its first part.
    """
    text = to_plain(text)
    if one := _MEASURE.fullmatch(text):
        unit = canonical_unit(one["unit"].lower())
        value = read_quantity(one["value"]) if is_known(unit) else None
        return replace(value, unit=unit) if value and not (value.unit or value.percent) else None
    if two := _TWO_MEASURES.fullmatch(text):
        large, small = (read_quantity(part) or read_measure(part) for part in two.groups())
        ratio = unit_ratio(small.unit, large.unit) if large and small and large.unit and small.unit else None
        if large and small and ratio and ratio < 1:
            return replace(large, value=large.value + small.value * ratio)
    return None


def _repeating(match: re.Match[str]) -> str:
    """Return ``2.(3)`` and ``0.1666\\ldots`` as a fraction."""
    whole, fixed, period = match[1] or "0", match[2] or match[4] or "", match[3] or match[5]
    bottom = (10 ** len(period) - 1) * 10 ** len(fixed)
    return rf"\frac{{{int(whole + fixed + period) - int(whole + fixed)}}}{{{bottom}}}"


def _quantity(match: re.Match[str]) -> Quantity | None:
    part = match.groupdict()
    unit = _unit(part["unit"] or "")
    if unit is None or (part["sign"] and part.get("inner")):
        return None
    if part.get("dollar"):
        unit = "$"
    if "digits" in part:
        if base := part["base"] or part["bases"]:
            return _in_base(part["digits"], int(base), part["sign"] == "-")
        exponent = part["exponent"] or part["power"] or part["powers"]
        value = _number(part["digits"]) * Fraction(10) ** int(exponent or 0)
    else:
        bottom = _number(part["bottom"])
        if not bottom:
            return None
        value = int(part["whole"] or 0) + _number(part["top"]) / bottom
    negative = "-" in (part["sign"], part.get("inner"))
    percent = bool(part["percent"]) or unit in ("%", "percent", "per cent", "percentage", "pct")
    return Quantity(-value if negative else value, percent, "" if percent else unit, _is_decimal(match[0]))


def _in_base(digits: str, base: int, negative: bool) -> Quantity | None:
    try:
        value = int(digits, base)
    except ValueError:
        return None
    return Quantity(Fraction(-value if negative else value), unit="" if base == 10 else f"base {base}")


def _number(numeral: str) -> Fraction:
    if numeral.startswith("0,"):
        numeral = numeral.replace(",", ".")
    return Fraction(re.sub(r"[,\s]", "", numeral))


def _is_decimal(text: str) -> bool:
    return "." in text.rstrip(".") or text.lstrip("-+ ").startswith("0,")


def _unit(text: str) -> str | None:
    """Return the canonical unit, or None if the words are not a unit."""
    if not text:
        return ""
    words = text.strip().replace("⟨", "").replace("⟩", "").strip(" .").lower()
    if not is_unit(words) or (_VARIABLE.search(words) and not text.strip().startswith("⟨")):
        return None
    return canonical_unit(words)
