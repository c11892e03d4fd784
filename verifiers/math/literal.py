"""Comparison of answers that are no formulas: numbers, ratios, times, dates, choices and words."""

import re
from fractions import Fraction

from .quantity import Quantity, read_measure, read_quantity, read_scaled
from .ratio import Ratio, read_ratio, read_time, same_time

_LETTERS = re.compile(r"(?:\\[A-Za-z]+|⟨[^⟨⟩]*⟩|[^A-Za-z])+")
_CHOICE = re.compile(r"[\s(⟨]*(?P<letter>[A-J])(?:[\s⟩]*[).:⟩](?P<rest>.*))?[\s.]*", re.DOTALL)
_SMALL_CHOICE = re.compile(r"[\s(⟨]*[a-j][\s)⟩.]*")
_DATE = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)")
_MONTH = r"(?P<{}>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DAY_OF_MONTH = re.compile(
    rf"(?:(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH.format('month')}"
    rf"|{_MONTH.format('month2')}\s+(?:the\s+)?(?P<day2>\d{{1,2}}))"
    r"(?:,?\s+(?P<year>\d{4}))?"
)
_ABSENT = re.compile(r"[⟨\s]*(?:(?:the\s+limit\s+)?does\s+not\s+exist|dne|d\.n\.e\.?)[\s⟩.]*")
_EMPTY = re.compile(
    r"(?:[a-z]\s*\\in\s*)?\\emptyset|\\\{\s*\\\}|[⟨\s]*(?:the\s+)?empty\s+set[\s⟩]*"
    r"|[⟨\s]*(?:there\s+(?:is|are|exists?)\s+)?no\s+(?:real\s+|such\s+)?(?:solutions?|roots?|values?)(?:\s+exists?)?[\s⟩.]*"
    r"|[⟨\s]*none[\s⟩.]*"
)
"""The ways to say that nothing solves an equation."""
_WORDS = re.compile(r"\s*(?:⟨[^⟨⟩]*⟩\s*)+\.?\s*")
_BASE = re.compile(r"(?:\d|(?<![A-Za-z])[A-F])\s*_\s*(\w|\{[^{}]*\})")
_SMALL_DECIMAL_COMMA = re.compile(r"([-+]?0),(\d{1,2})(?![\d,])")


def compare_literals(gold: str, answer: str, places: int | None = None) -> bool | None:
    """Return whether two texts in plain notation are the same number, choice or words; None if they are formulas.

    Args:
        gold: the expected answer.
        answer: the given one.
        places: decimals to which a number with a decimal point may be rounded; None requires equality.
    """
    expected, value = _quantities(gold, answer)
    if expected is not None and value is not None:
        return value.equals(expected, places)
    if (ratios := _compare_ratios(gold, answer)) is not None:
        return ratios
    bases = _BASE.findall(gold), _BASE.findall(answer)
    if bases[0] != bases[1] and (not has_letters(gold) or not has_letters(answer)):
        return False  # math-verify drops the base
    if _DATE.fullmatch(gold) or _DATE.fullmatch(answer):
        return _DATE.sub(r"\1 \2 \3", gold) == _DATE.sub(r"\1 \2 \3", answer)  # a date is not a subtraction
    if (said := _compare_phrases(gold, answer)) is not None:
        return said
    return _compare_words(gold, answer)


def has_letters(text: str) -> bool:
    r"""Return whether ``text`` has a letter outside commands and ``\text{…}``, so that it may contain a variable."""
    return not _LETTERS.fullmatch(text)


def _quantities(gold: str, answer: str) -> tuple[Quantity | None, Quantity | None]:
    """Return both as quantities; ``0,5`` is a decimal if the other one is a number, and a list of two otherwise.

    A measure that could be a product, such as ``5 m``, is one if the other side has a unit.
    """
    expected, value = read_quantity(gold) or read_scaled(gold), read_quantity(answer) or read_scaled(answer)
    if expected is not None and value is None:
        value = read_quantity(_SMALL_DECIMAL_COMMA.sub(r"\1.\2", answer))
    elif value is not None and expected is None:
        expected = read_quantity(_SMALL_DECIMAL_COMMA.sub(r"\1.\2", gold))
    if expected is not None and value is None:
        value = read_measure(answer) if expected.unit else None
    elif value is not None and expected is None:
        expected = read_measure(gold) if value.unit else None
    return expected, value


def _compare_ratios(gold: str, answer: str) -> bool | None:
    """Return whether two ratios are proportional or two times the same; a ratio of two is also their quotient."""
    times = read_time(gold), read_time(answer)
    if times[0] and times[1]:
        return same_time(times[0], times[1])
    expected, found = read_ratio(gold), read_ratio(answer)
    if expected and found:
        return expected.equals(found)
    if not (expected or found):
        return None
    if times[0] or times[1]:
        return False  # a time is not the number beside it
    left, right = expected or _as_ratio(gold), found or _as_ratio(answer)
    return left.equals(right) if left and right else None


def _as_ratio(text: str) -> Ratio | None:
    value = read_quantity(text)
    if value is None or value.percent or value.unit:
        return None
    return Ratio((value.value, Fraction(1)))


def _compare_phrases(gold: str, answer: str) -> bool | None:
    """Return whether both are the same day, or both say that there is no solution; None if they are neither."""
    texts = [text.replace("⟨", " ").replace("⟩", " ").strip(" .").lower() for text in (gold, answer)]
    days = [_DAY_OF_MONTH.fullmatch(" ".join(text.split())) for text in texts]
    if days[0] and days[1]:
        left, right = ((day["day"] or day["day2"], (day["month"] or day["month2"])[:3]) for day in days if day)
        years = [day["year"] for day in days if day and day["year"]]
        return left == right and len(set(years)) < 2
    for pattern in (_EMPTY, _ABSENT):
        said = [bool(pattern.fullmatch(text.lower())) for text in (gold, answer)]
        if any(said):
            return all(said)
    return None


def _compare_words(gold: str, answer: str) -> bool | None:
    choice, chosen = _CHOICE.fullmatch(gold), _CHOICE.fullmatch(answer)
    if choice and not (choice["rest"] or "").strip(" ⟩).") and (chosen or _SMALL_CHOICE.fullmatch(answer)):
        return choice["letter"] == (chosen["letter"] if chosen else answer.strip("()⟨⟩. ").upper())
    if gold.isalpha() and answer.isalpha() and len(gold) > 3 and gold.lower() == answer.lower():
        return True
    if _WORDS.fullmatch(gold) and (_WORDS.fullmatch(answer) or answer.replace(" ", "").isalpha()):
        return _normalize_words(gold) == _normalize_words(answer)
    if _WORDS.fullmatch(answer) and gold.replace(" ", "").isalpha():
        return _normalize_words(gold) == _normalize_words(answer)
    return None


def _normalize_words(text: str) -> str:
    words = " ".join(text.replace("⟨", " ").replace("⟩", " ").strip(" .").split())
    return words if len(words) == 1 else words.lower()
