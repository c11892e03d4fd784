"""What a program printed, compared with what was expected: by lines, by words, or by numbers."""

import math
import re
from typing import Literal, get_args

Compare = Literal["lines", "tokens", "numbers"]
COMPARISONS: tuple[str, ...] = get_args(Compare)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST = 1000
"""Characters of a number that is read as one."""


def difference(found: str, expected: str, compare: str = "lines", tolerance: float = 0.0) -> str:
    """Where ``found`` first differs from ``expected``, in words; empty where it does not.

    ``lines``: exactly, but for white space at the end of a line and empty lines at the end. ``tokens``: word by word.
    ``numbers``: the same, with two numbers compared by value: whole ones exactly, others within ``tolerance``, absolute
    or relative to the expected one.
    """
    if found == expected:
        return ""
    what, parts = ("line", _lines) if compare == "lines" else ("word", str.split)
    wanted, given = parts(expected), parts(found)
    for number, (a, b) in enumerate(zip(given, wanted, strict=False), 1):
        if a != b and not (compare == "numbers" and close(a, b, tolerance)):
            return f"{what} {number}: expected {shown(b)}, found {shown(a)}"
    if len(given) != len(wanted):
        return f"expected {len(wanted)} {what}s, found {len(given)}"
    return ""


def close(found: str, expected: str, tolerance: float) -> bool:
    """Whether both are numbers in digits, and near enough."""
    if max(len(found), len(expected)) > _LONGEST:
        return False
    if _WHOLE.fullmatch(found) and _WHOLE.fullmatch(expected):
        return int(found) == int(expected)
    if not (_NUMBER.fullmatch(found) and _NUMBER.fullmatch(expected)):
        return False
    a, b = float(found), float(expected)
    return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= tolerance * max(1.0, abs(b))


def shown(text: str, most: int = 60) -> str:
    """``text`` quoted for a reason: short, on one line, printable everywhere."""
    return ascii(text if len(text) <= most else f"{text[:most]}…")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
