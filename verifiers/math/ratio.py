"""Ratios (``3:4``, ``A:B = 3:4``, ``3 to 4``) and times of the day (``12:30``)."""

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = r"\d{1,30}(?:\.\d{1,30})?"
_RATIO = re.compile(
    rf"(?:(?P<names>[^:=<>,]{{1,40}}(?::[^:=<>,]{{1,40}})+)=\s*)?(?P<parts>{_NUMBER}(?:\s*(?::|⟨\s*to\s*⟩|\bto\b)\s*{_NUMBER})+)"
)
_TIME = re.compile(
    r"(?P<hours>\d{1,2})\s*:\s*(?P<minutes>[0-5]\d)(?:\s*:\s*(?P<seconds>[0-5]\d))?(?P<half>.*)", re.DOTALL
)
_HALF = re.compile(r"[\s⟨⟩.]*([ap])\.?\s*m?\.?[\s⟨⟩.]*", re.IGNORECASE)
_MAX_PARTS = 16


@dataclass(frozen=True)
class Ratio:
    """A ratio of numbers.

    Attributes:
        parts: the numbers.
        names: the names of the parts, empty if there are none.
    """

    parts: tuple[Fraction, ...]
    names: tuple[str, ...] = ()

    def equals(self, other: "Ratio") -> bool:
        """Return whether both are proportional; names count if both have them, in any order."""
        mine, yours = self.parts, other.parts
        if self.names and other.names and self.names != other.names:
            if sorted(self.names) != sorted(other.names):
                return False
            by_name = dict(zip(other.names, yours, strict=True))
            yours = tuple(by_name[name] for name in self.names)
        if len(mine) != len(yours) or not all((*mine, *yours)):
            return mine == yours
        return len({left / right for left, right in zip(mine, yours, strict=True)}) == 1


def read_ratio(text: str) -> Ratio | None:
    """Return ``text``, in plain notation, as a ratio of at least two numbers, or None if it is not one."""
    match = _RATIO.fullmatch(text)
    if match is None:
        return None
    parts = [part.strip() for part in re.split(r":|⟨\s*to\s*⟩|\bto\b", match["parts"])]
    names = tuple(name.strip() for name in (match["names"] or "").split(":") if name.strip())
    if len(parts) > _MAX_PARTS or (names and len(set(names)) != len(parts)):
        return None
    return Ratio(tuple(Fraction(part) for part in parts), names)


def read_time(text: str) -> tuple[int, int, int, str] | None:
    """Return ``text``, in plain notation, as (hours, minutes, seconds, ``a``, ``p`` or nothing), or None."""
    match = _TIME.fullmatch(text)
    half = _HALF.fullmatch(match["half"]) if match and match["half"].strip() else None
    if match is None or (match["half"].strip() and half is None):
        return None
    return int(match["hours"]), int(match["minutes"]), int(match["seconds"] or 0), half[1].lower() if half else ""


def same_time(left: tuple[int, int, int, str], right: tuple[int, int, int, str]) -> bool:
    """Return whether two times are the same; the half of the day counts if both name it, or one has 24 hours."""
    if left[3] and right[3]:
        return left == right
    if left[3] or right[3]:
        left, right = (left, right) if left[3] else (right, left)
        hours = left[0] % 12 + (12 if left[3] == "p" else 0)
        return right[1:3] == left[1:3] and right[0] in (left[0], hours)
    return left[:3] == right[:3]
