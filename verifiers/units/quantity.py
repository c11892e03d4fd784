"""Quantity in a text: a number, or a range of numbers, with its unit, in plain text, Unicode or LaTeX."""

import math
import re
from dataclasses import dataclass

from ..text.visible import compatible
from .unit import Unit, UnknownUnit, read_unit

MAX_LENGTH = 300
"""Longest text, in characters, that is read as a quantity."""

MAX_POWER_OF_TEN = 150

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_END = r"(?![A-Za-z])"
_WRAPPERS = "mathrm|text|textrm|textit|textbf|mathit|mathbf|operatorname|mbox|unit|si"
_LATEX = (
    (re.compile(rf"\^?\s*\{{?\s*\\(?:circ|degree){_END}\s*\}}?|º"), "°"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
    (re.compile(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1 \2"),
    (re.compile(rf"(?<=[A-Za-z])(?=\\(?:{_WRAPPERS}){_END})"), " "),  # so that \\cdot does not become \\cdots
    (re.compile(rf"\\(?:{_WRAPPERS})\s*\{{([^{{}}]*)\}}"), r"\1"),
    (re.compile(r"\{\s*,\s*\}"), ","),
    (re.compile(rf"\\mathring\s*\{{\s*A\s*\}}|\\(?:AA|angstrom){_END}"), "Å"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"(\1)/(\2)"),
)
"""Commands with arguments, which may be inside of one another."""
_COMMANDS = (
    *(
        (re.compile(rf"\\(?:{names}){_END}"), plain)
        for names, plain in (
            ("micro|mu", "μ"),
            ("Omega|ohm", "Ω"),
            ("pi", "π"),
            ("pm", "±"),
            ("approx|simeq|sim", "≈"),
            ("times", "×"),
            ("cdot", "·"),
            ("percent", "%"),
            ("per", "/"),
            ("left|right|displaystyle|q?quad|rm|bf", " "),
        )
    ),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\[,;:! ]|~|\$|\\[()\[\]]"), " "),
    (re.compile(r"\\([a-z]+)"), r" \1 "),
    (re.compile(r"[{}]"), " "),
    (re.compile(r"\A\s*\(([^()]*)\)\s*\Z|\A\s*\((?=[^()]*±)([^()]*)\)"), r"\1\2"),
    (re.compile(r"\[([^\[\]]*)\]\s*\Z"), r"\1"),
    (re.compile(r"\(\s*([\d.]*\s*π)\s*\)\s*/\s*\(\s*(\d+)\s*\)"), r"\1/\2"),
    (re.compile(r"\b(kilo|mega|giga|tera|centi|milli|nano|pico|hecto|deci)\s+(?=[a-z])"), r"\1"),
    (re.compile(r"\bμ\s+(?=[A-Za-z])"), "μ"),
    (re.compile(r"\b([kMGm])\s+(?=Ω)"), r"\1"),
)
_WORDS = (
    (re.compile(r"\bdeg(?:rees?)?\.?\s*(?:celsius|centigrade|C\b)", re.IGNORECASE), "degC"),
    (re.compile(r"\bdeg(?:rees?)?\.?\s*(?:fahrenheit|F\b)", re.IGNORECASE), "degF"),
    (re.compile(r"°\s*(?:C\b|celsius)", re.IGNORECASE), " °C"),
    (re.compile(r"°\s*(?:F\b|fahrenheit)", re.IGNORECASE), " °F"),
    (re.compile(r"Δ\s+°"), "Δ°"),
    (re.compile(r"\bnautical miles?\b", re.IGNORECASE), "nautical_mile"),
    (re.compile(r"\blight[- ]years?\b", re.IGNORECASE), "light_year"),
    (re.compile(r"\bastronomical units?\b", re.IGNORECASE), "astronomical_unit"),
    (re.compile(r"\bmetric tons?\b", re.IGNORECASE), "metric_ton"),
    (re.compile(r"\b(?:fl\.? ?oz|fluid ounces?)\b", re.IGNORECASE), "fluid_ounce"),
    (re.compile(r"\bmm\s+Hg\b"), "mmHg"),
    (re.compile(r"\bper ?cent\b", re.IGNORECASE), "percent"),
    (re.compile(r"\b([kMG]?)W\s*[·-]?\s*h(?:r|rs)?\b"), r"\1Wh"),
)
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_DIGITS = (
    r"\d{1,3}(?:\.\d{3})+,\d+|(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d+(?:,\d+)?(?![\d,])|\d+)(?:\.\d+)?|\.\d+"
)
_POWER_OF_TEN = r"10\s*(?:\^|\*\*)\s*\(?\s*(?P<{0}>[-+]?\s*\d{{1,3}})\s*\)?"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d{{1,6}}) (?P<mixed>\d{{1,6}})/(?P<part>\d{{1,6}})(?!\d)"
    rf"|\(?\s*(?P<top>{_DIGITS})\s*\)?\s*/\s*\(?\s*(?P<bottom>{_DIGITS})\s*\)?"
    rf"|{_POWER_OF_TEN.format('ten')}"
    rf"|(?P<digits>{_DIGITS})(?:[eE](?P<exponent>[-+]?\d{{1,3}})(?![\dA-Za-z])"
    rf"|\s*[×x*·]\s*{_POWER_OF_TEN.format('times')})?"
    rf"|(?=π))\s*(?P<pi>\*?\s*π(?:\s*/\s*(?P<over>\d{{1,6}}))?)?(?P<scale>\s*(?:{'|'.join(_SCALES)})\b)?"
)
_DASH = re.compile(r"\s*(?:–|—|-{1,2}(?=\s|\d)|\bto\b|\band\b)\s*")
_PARTS = re.compile(r"\s*([A-Za-z°]{1,12})(?:,|\s+and)?\s+(\d[\d.]*\s*[A-Za-z].*)")
_CHAIN = re.compile(r"\s*[=≈]\s*")
_ABOUT = re.compile(
    r"(?:therefore|thus|hence|then|about|approximately|approx\.?|around|roughly|circa|ca\.)\s+", re.IGNORECASE
)
_NAME = re.compile(r"[^\d=≈<>≤≥≠!]{1,60}|[A-Za-z_Δ]\w{0,12}")


class NotAQuantity(ValueError):
    """The text is not one quantity; the message says why."""


@dataclass(frozen=True)
class Quantity:
    """A number or a range with its unit.

    Attributes:
        low: the number, or the lower end.
        high: the upper end; equal to ``low`` for one number.
        units: the readings of its unit; empty if there is none.
        around: whether it is written as a value with an uncertainty.
    """

    low: float
    high: float
    units: tuple[Unit, ...] = ()
    around: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it stands for several values."""
        return self.low != self.high


def read_quantities(text: str) -> list[Quantity]:
    """Return the quantities in ``text``: one, or several in a chain such as ``v = 5 km/h = 1.389 m/s``.

    Raises:
        NotAQuantity: the text is something else, or has something beside it.
    """
    if len(text) > MAX_LENGTH:
        raise NotAQuantity(f"it has more than {MAX_LENGTH} characters")
    parts = _CHAIN.split(to_plain(text))
    if len(parts) > 1 and (not parts[0] or (_NAME.fullmatch(parts[0]) and _NUMBER.match(parts[0]) is None)):
        parts = parts[1:]
    return [_read(part) for part in parts]


def to_plain(text: str) -> str:
    """Return ``text`` without LaTeX and Markdown, with powers behind ``^``, and with usual letters."""
    text = re.sub(r"[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: f"^({match[0].translate(_SUPERSCRIPTS)})", text)
    text = compatible(text).replace("−", "-").replace("⋅", "·").replace("•", "·").replace("⁄", "/")
    for pattern, plain in (*_LATEX * 3, *_COMMANDS, *_WORDS):
        text = pattern.sub(plain, text)
    text = re.sub(r"\*\*(?=\s|$)|(?<!\S)\*\*|`", " ", text)
    return " ".join(text.split()).rstrip(" .,;").strip()


def _read(text: str) -> Quantity:
    text = _ABOUT.sub("", text, count=1).strip()
    between = re.fullmatch(r"(?:from|between)\s+(.*)", text, re.IGNORECASE)
    text = between[1] if between else text
    value, rest = _number(text)
    for mark, around in (("±", True), (None, False)):
        found = re.match(r"\s*(?:±|\+/-|\+-)\s*", rest) if mark else _DASH.match(rest)
        if found and (between or mark or not found[0].strip().startswith("and")):
            second, tail = _number(rest[found.end() :])
            return _range(value, second, tail, around)
    head, dash, tail = _split_range(rest)
    if dash and (dash != "and" or between):
        second, unit = _number(tail)
        if _units(head) != _units(unit):
            raise NotAQuantity("the ends of the range have different units")
        return _range(value, second, unit, dash == "±")
    if parts := _PARTS.fullmatch(rest):
        return _with_parts(value, parts[1], parts[2])
    return Quantity(value, value, _units(rest))


def _with_parts(value: float, unit: str, rest: str) -> Quantity:
    """Return the sum of a value and the smaller parts after it, as in ``2 h 30 min``."""
    first, smaller = _units(unit)[0], _read(rest)
    second = (smaller.units or (Unit(),))[0]
    fits = not smaller.is_range and first.is_larger(second) and 0 <= smaller.low < first.factor / second.factor
    if value < 0 or not fits:
        raise NotAQuantity("the parts do not belong together")
    total = value + smaller.low * second.factor / first.factor
    return Quantity(total, total, (first,))


def _split_range(rest: str) -> tuple[str, str, str]:
    """Split what follows the first number at the mark before a second number, as in ``m to 7 m``."""
    match = re.fullmatch(r"(\s*[^\d±]+?)\s*(±|–|—|\bto\b|\band\b)\s*([-+]?\d.*)", rest)
    return (match[1], match[2], match[3]) if match else (rest, "", "")


def _range(first: float, second: float, unit: str, around: bool) -> Quantity:
    low, high = (first - abs(second), first + abs(second)) if around else (first, second)
    if low > high:
        raise NotAQuantity("the range ends before it begins")
    return Quantity(low, high, _units(unit), around)


def _units(text: str) -> tuple[Unit, ...]:
    if not text.strip():
        return ()
    try:
        return read_unit(text.strip())
    except UnknownUnit as error:
        raise NotAQuantity(str(error)) from None


def _number(text: str) -> tuple[float, str]:
    """Return the number at the start of ``text``, and the rest."""
    match = _NUMBER.match(text)
    if match is None or not match[0].strip(" +-"):
        raise NotAQuantity(f"no number at the start of {text[:40]!r}")
    part = match.groupdict()
    if part["whole"]:
        value = int(part["whole"]) + int(part["mixed"]) / (int(part["part"]) or math.nan)
    elif part["top"]:
        value = _digits(part["top"]) / (_digits(part["bottom"]) or math.nan)
    elif part["digits"]:
        value = _digits(part["digits"]) * _ten(part["exponent"] or part["times"])
    else:
        value = _ten(part["ten"])
    if part["pi"]:
        value *= math.pi / (int(part["over"] or 1) or math.nan)
    if part["scale"]:
        value *= _SCALES[part["scale"].strip()]
    if not abs(value) < 10.0**MAX_POWER_OF_TEN:
        raise NotAQuantity("the number is too large, or divided by zero")
    return (-value if part["sign"] == "-" else value), text[match.end() :]


def _digits(text: str) -> float:
    if "." in text and text.find(".") < text.find(","):  # 1.234,5
        return float(text.replace(".", "").replace(",", "."))
    if re.fullmatch(r"\d+,\d+", text) and (text.startswith("0,") or len(text.partition(",")[2]) != 3):
        text = text.replace(",", ".")
    return float(text.replace(",", "").replace(" ", ""))


def _ten(power: str | None) -> float:
    exponent = int((power or "0").replace(" ", ""))
    if abs(exponent) > MAX_POWER_OF_TEN:
        raise NotAQuantity("the power of ten is too large")
    return float(10.0**exponent)
