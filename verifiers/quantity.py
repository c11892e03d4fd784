"""Numbers as people write them (``1,080``, ``$18``, ``\\frac{1}{2}``, ``50\\%``, ``5 km``), read exactly."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 1000
"""Characters; a longer text is no number that a dataset expects."""

NUMERAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
"""A numeral without its sign, thousands separators allowed."""

_SIGNED = rf"[-+]?\s*(?:{NUMERAL})"
_NUMBER = (
    rf"(?P<sign>[-+]?)\s*(?P<dollar>\$?)\s*(?P<inner>[-+]?)(?P<digits>{NUMERAL})(?:[eE](?P<exponent>[-+]?\d{{1,3}}))?"
)
_FRACTION = rf"(?P<sign>[-+]?)\s*(?P<whole>\d*)\s*\\frac\{{(?P<top>{_SIGNED})\}}\{{(?P<bottom>{_SIGNED})\}}"
_RATIO = rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)\s+)?(?P<top>{NUMERAL})\s*/\s*(?P<bottom>{NUMERAL})"
_TAIL = r"\s*(?P<percent>%|percent\b|pct\b)?(?P<unit>\s*(?:<[^<>]*>|\s[A-Za-z][A-Za-z/ .]*))?\s*\.?"
_FORMS = [re.compile(form + _TAIL, re.ASCII) for form in (_FRACTION, _RATIO, _NUMBER)]

_NOT_UNITS = re.compile(
    r"\b(?:[a-ln-z]|and|choose|cubed|dozen|factorial|hundred|infinity|log|million|billion|trillion|thousand|mod|or|pi|plus"
    r"|minus|root|sin|cos|sqrt|squared|tan|th|times)\b"
)
"""Words that change a number, and single letters, which are variables, but for the metre."""
_CURRENCY = {"dollar": "$", "usd": "$"}
_SPACES = re.compile(r"\\[,!;: ]|~|\\q?quad\b|[\u00a0\u2009\u202f]")
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|operatorname)\s*\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d|\{[^{}]*\})")


@dataclass(frozen=True)
class Quantity:
    """An exact number with what stands behind it.

    Attributes:
        value: as written; ``50%`` has value 50.
        percent: whether a percent sign follows.
        unit: in lower case and the singular, empty where there is none; ``$`` for dollars.
    """

    value: Fraction
    percent: bool = False
    unit: str = ""

    def equals(self, expected: "Quantity") -> bool:
        """Whether this answer is the ``expected`` one.

        A unit counts only where both name one. A percentage is its hundredth, but where the expected answer is a bare
        number an answer in percent may also mean that number: datasets drop the sign.
        """
        if self.unit and expected.unit and self.unit != expected.unit:
            return False
        if expected.percent or not self.percent:
            return self._scaled == expected._scaled
        return expected.value in (self.value, self._scaled)

    @property
    def _scaled(self) -> Fraction:
        return self.value / 100 if self.percent else self.value


def read_quantity(text: str) -> Quantity | None:
    """The quantity that the whole of ``text`` is, in plain text or LaTeX, else None."""
    if len(text) > MAX_LENGTH:
        return None
    text = plain(text)
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _quantity(match)
    return None


def plain(text: str) -> str:
    """``text`` without dollar delimiters, LaTeX spacing and sizes; Unicode digits and minus signs in ASCII.

    The content of ``\\text{…}`` stands in angle brackets, so that a unit can be told from a product of variables.
    """
    text = text.strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            text = text[len(opening) : -len(closing)].strip()
    if not text.isascii():
        text = "".join(_ascii(char) for char in text)
    if "\\" in text or "{" in text or "~" in text:
        text = re.sub(r"(?<=\d)(?:\{,\}|,\\!)\s*(?=\d{3})", ",", text)
        text = _SPACES.sub(" ", text.replace(r"\left", "").replace(r"\right", ""))
        text = re.sub(r"\^\s*\{?\\circ\}?", "<degree>", text)
        text = _TEXT.sub(r"<\1>", text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac"))
        text = _SHORT_FRACTION.sub(lambda match: r"\frac" + _braced(match[1]) + _braced(match[2]), text)
        text = text.replace(r"\$", "$").replace(r"\%", "%")
    return text.strip()


def _ascii(char: str) -> str:
    if char == "−":
        return "-"
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return "<degree>" if char == "°" else " " if char.isspace() else char


def _braced(part: str) -> str:
    return part if part.startswith("{") else f"{{{part}}}"


def _quantity(match: re.Match[str]) -> Quantity | None:
    part = match.groupdict()
    unit = _unit(part["unit"] or "", part.get("dollar") or "")
    if unit is None or (part["sign"] and part.get("inner")):
        return None
    if "digits" in part:
        value = _number(part["digits"]) * Fraction(10) ** int(part["exponent"] or 0)
    else:
        bottom = _number(part["bottom"])
        if not bottom:
            return None
        value = int(part["whole"] or 0) + _number(part["top"]) / bottom
    negative = "-" in (part["sign"], part.get("inner"))
    percent = bool(part["percent"]) or unit in ("%", "percent", "pct")
    return Quantity(-value if negative else value, percent, "" if percent else unit)


def _number(numeral: str) -> Fraction:
    return Fraction(re.sub(r"[,\s]", "", numeral))


def _unit(text: str, dollar: str) -> str | None:
    """The unit in lower case and the singular, or None where the words are no unit."""
    words = text.strip(" <>.").lower()
    if _NOT_UNITS.search(words) and not text.strip().startswith("<"):
        return None
    unit = " ".join(word.removesuffix("s") for word in words.split())
    return dollar or _CURRENCY.get(unit, unit)
