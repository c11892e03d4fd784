"""Comparison of printed output with the expected output: by lines, by tokens, or by numbers."""

import math
import re
from typing import Literal, get_args

Compare = Literal["lines", "tokens", "numbers"]
COMPARISONS: tuple[str, ...] = get_args(Compare)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER = 1000
"""Longest word, in characters, that is compared as a number."""


def difference(found: str, expected: str, compare: str = "lines", tolerance: float = 0.0) -> str:
    """Describe the first difference between ``found`` and ``expected``; empty if there is none.

    ``lines`` compares exactly, except for white space at line ends and empty lines at the end. ``tokens`` compares word
    by word. ``numbers`` does too, but compares numbers by value: integers exactly, others within ``tolerance``,
    absolute or relative to the expected number.
    """
    if found == expected:
        return ""
    what, parts = ("line", _lines) if compare == "lines" else ("word", str.split)
    wanted, given = parts(expected), parts(found)
    for number, (a, b) in enumerate(zip(given, wanted, strict=False), 1):
        if a != b and not (compare == "numbers" and close(a, b, tolerance)):
            return f"{what} {number}: expected {quoted(b)}, found {quoted(a)}"
    if len(given) != len(wanted):
        return f"expected {len(wanted)} {what}s, found {len(given)}"
    return ""


def close(found: str, expected: str, tolerance: float) -> bool:
    """Return whether both are decimal numbers within ``tolerance``."""
    if max(len(found), len(expected)) > _MAX_NUMBER:
        return False
    if _WHOLE.fullmatch(found) and _WHOLE.fullmatch(expected):
        return int(found) == int(expected)
    if not (_NUMBER.fullmatch(found) and _NUMBER.fullmatch(expected)):
        return False
    a, b = float(found), float(expected)
    return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= tolerance * max(1.0, abs(b))


def quoted(text: str, most: int = 60) -> str:
    """Return ``text`` quoted for use in a reason: short, on one line, in ASCII."""
    return ascii(text if len(text) <= most else f"{text[:most]}…")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
