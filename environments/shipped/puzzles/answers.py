"""The kinds of answer to puzzles: how each is read from untrusted text, strictly and within bounds, and written."""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any

MAX_DIGITS = 300
"""Most digits of a number in an answer."""
MAX_ITEMS = 3000
"""Most items in a list, or cells in a grid."""

_INTEGER = re.compile(rf"[-+]?(?:[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,{MAX_DIGITS // 3}}}|[0-9]{{1,{MAX_DIGITS}}})")
_ITEM = re.compile(rf"[-+]?[0-9]{{1,{MAX_DIGITS}}}")
_FRACTION = re.compile(
    rf"([-+]?)(?:\\[dt]?frac\{{([0-9]{{1,{MAX_DIGITS}}})\}}\{{([0-9]{{1,{MAX_DIGITS}}})\}}"
    rf"|([0-9]{{1,{MAX_DIGITS}}})(?:/([0-9]{{1,{MAX_DIGITS}}}))?)"
)
_PAIR = re.compile(r"\(\s*([-+]?[0-9]{1,9})\s*,\s*([-+]?[0-9]{1,9})\s*\)")
_ASSIGNED = re.compile(r"([A-Za-z])\s*=\s*([0-9]{1,9})")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})")
_WRAPPED = re.compile(r"\$(.*)\$|\\\((.*)\\\)|\\text\{(.*)\}|`([^`]*)`|\"([^\"]*)\"", re.DOTALL)
_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True)
class Kind:
    """A kind of answer.

    Attributes:
        words: what it looks like, to end the sentence "The answer is …".
        read: the value in a text, or None if the text is not of this kind.
        write: the text of a value.
    """

    words: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def bare(text: str) -> str:
    r"""``text`` without white space, quotes, dollar signs or ``\text{}`` around it."""
    text = text.strip()
    for _ in range(3):
        if match := _WRAPPED.fullmatch(text):
            text = next(group for group in match.groups() if group is not None).strip()
    return text.replace("−", "-")


def _integer(text: str) -> int | None:
    text = bare(text).replace("{,}", ",")
    return int(text.replace(",", "")) if _INTEGER.fullmatch(text) else None


def _fraction(text: str) -> Fraction | None:
    match = _FRACTION.fullmatch(bare(text))
    if not match:
        return None
    top, bottom = int(match[2] or match[4]), int(match[3] or match[5] or 1)
    if not bottom or gcd(top, bottom) != 1 or (bottom == 1 and (match[3] or match[5])):
        return None
    return Fraction(-top if match[1] == "-" else top, bottom)


def _items(text: str) -> list[str] | None:
    """Items separated by commas or white space, in brackets or not; None if there are too many, or one is empty."""
    text = bare(text)
    if text[:1] in _BRACKETS and text[-1:] == _BRACKETS[text[0]]:
        text = text[1:-1].strip()
    items = _SEPARATOR.split(text)
    return items if len(items) <= MAX_ITEMS and all(items) else None


def _integers(text: str) -> list[int] | None:
    items = _items(text)
    return list(map(int, items)) if items and all(map(_ITEM.fullmatch, items)) else None


def _line(text: str) -> str | None:
    text = bare(text)
    return text if text and len(text) <= MAX_ITEMS and text.isprintable() else None


def _grid(text: str) -> list[list[str]] | None:
    """Rows on lines, or between ``;`` or double backslashes; cells between spaces or commas, or a character each."""
    rows = [row.strip(" \t[]|&,") for row in re.split(r"\n|;|\\\\", bare(text))]
    cells = [re.split(r"[\s,|&]+", row) for row in rows if row]
    cells = [list(row[0]) if len(row) == 1 and len(row[0]) > 1 and len(cells) > 1 else row for row in cells]
    return cells if cells and sum(map(len, cells)) <= MAX_ITEMS else None


def _numbers(text: str) -> list[list[int]] | None:
    cells = [re.split(r"[\s,|&]+", row.strip(" \t[]|&,")) for row in re.split(r"\n|;|\\\\", bare(text)) if row.strip()]
    if not cells or sum(map(len, cells)) > MAX_ITEMS or not all(_ITEM.fullmatch(cell) for row in cells for cell in row):
        return None
    return [list(map(int, row)) for row in cells]


def _pairs(text: str) -> list[tuple[int, int]] | None:
    text = bare(text).strip("[]{} ")
    found = [(int(match[1]), int(match[2])) for match in _PAIR.finditer(text)]
    rest = _PAIR.sub("", text)
    return found if 0 < len(found) <= MAX_ITEMS and not rest.strip(", \n\t") else None


def _assignment(text: str) -> dict[str, int] | None:
    items = re.split(r"[,;\n]", bare(text))
    found = [_ASSIGNED.fullmatch(item.strip()) for item in items[:MAX_ITEMS]]
    values = {match[1]: int(match[2]) for match in found if match}
    return values if len(values) == len(items) else None


def _date(text: str) -> str | None:
    match = _DATE.fullmatch(bare(text))
    try:
        return datetime.date(*map(int, match.groups())).isoformat() if match else None
    except ValueError:
        return None


def _clock(text: str) -> str | None:
    text = bare(text)
    match = _CLOCK.fullmatch(text)
    return text if match and int(match[1]) < 24 and int(match[2]) < 60 else None


def _joined(items: Any) -> str:
    return ", ".join(map(str, items))


def _lines(rows: Any) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)


INTEGER = Kind("one integer", _integer)
FRACTION = Kind("an integer or a fraction in lowest terms, such as 3/4", _fraction)
INTEGERS = Kind("a list of integers separated by commas", _integers, _joined)
NAMES = Kind("a list separated by commas", _items, _joined)
LINE = Kind("one line of text", _line)
WORD = Kind("one word", lambda text: (bare(text).lower() if len(text) <= MAX_ITEMS else "") or None)
GRID = Kind("a grid with a line for each row and spaces between the cells", _grid, _lines)
NUMBERS = Kind("a grid of integers with a line for each row and spaces between the cells", _numbers, _lines)
PAIRS = Kind("a list of pairs of integers, such as (1, 2), (3, 4)", _pairs, _joined)
ASSIGNMENT = Kind(
    "a list of letters with their values, such as X=1, Y=2",
    _assignment,
    lambda values: _joined(f"{name}={value}" for name, value in values.items()),
)
DATE = Kind("a date in the form YYYY-MM-DD", _date)
CLOCK = Kind("a time in the form HH:MM, from 00:00 to 23:59", _clock)
