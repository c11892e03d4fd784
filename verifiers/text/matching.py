"""Verifiers that compare the answer as text or as a number."""

import math
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError
from ..math.quantity import NUMERAL, Quantity, read_quantity
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .normalization import normalized, references
from .think import split_reasoning
from .visible import visible

_POWER = r"[eE][-+]?\d{1,3}(?!\w)|\s?(?:\\times|\\cdot|[×·*])\s?10\s?\^\s?(?:\d|\{[-+]?\d{1,3}\})"
_FRACTION = r"\\[dt]?frac\s?\{\s?\d+\s?\}\s?\{\s?\d+\s?\}"
_RATIO = r"(?<!/)\d+\s?/\s?\d+(?![\d/.])"
_VALUE = rf"(?:{_FRACTION}|{_RATIO}|(?:{NUMERAL})(?:{_POWER})?)"
_NUMBER = re.compile(rf"(?:(?<!\w)[-+−])?{_VALUE}", re.ASCII)
_STANDALONE_NUMBER = re.compile(rf"(?:(?<!\w)[-+−]|(?<![\w^]))(?<!\^\{{){_VALUE}", re.ASCII)
_SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|\\[,!;: ]|[\u00a0\u2009\u202f_])(?=\d{3}(?!\d))")
"""Separators between thousands in LaTeX and typesetting, other than the comma."""
_DASH = re.compile(r"(?<![\w)])[‒–](?=[\d.])")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s?(\d)\s?(\d)(?!\d)")
_MAX_TAIL = 2000


@verifier("exact")
@dataclass(frozen=True)
class Exact:
    """The answer equals ``task.answer``, or one of its items if it is a list, after removing reasoning and white space.

    Accents equal their composed form (NFC), and characters that nobody sees do not count.

    Attributes:
        ignore_case: compare in lower case.
        normalized: compare as SQuAD does, ignoring case, punctuation, articles, white space and Unicode forms. Signs,
            decimal points and percent signs of numbers are kept, and so are ``C++`` and ``C#``.

    Example:
        {"verifier": "exact", "completion": "<think>?</think> Paris", "answer": "paris",
         "params": {"ignore_case": true}} -> 1.0
        {"verifier": "exact", "completion": "The Beatles!", "answer": ["Beatles", "Fab Four"],
         "params": {"normalized": true}} -> 1.0
    """

    ignore_case: bool = False
    normalized: bool = False
    instances: ClassVar[tuple[str, ...]] = ("exact", "ignore_case", "normalized")
    row_params: ClassVar[frozenset[str]] = frozenset({"ignore_case", "normalized"})

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, or ``unparseable`` for an empty answer."""
        expected = references(case.answer)
        if not expected:
            return infra_error("the task has no answer to compare with; repair the dataset")
        _, found = split_reasoning(case.visible)
        if not found:
            return unparseable("the answer is empty")
        if self._canonical(found) in map(self._canonical, expected):
            return passed(found=found[:200])
        return wrong(f"expected {' or '.join(map(repr, expected)):.80}, found {found!r:.80}", found=found[:200])

    def _canonical(self, text: str) -> str:
        if self.normalized:
            return normalized(text)
        text = unicodedata.normalize("NFC", visible(text))
        return text.lower() if self.ignore_case else text


@verifier("number")
@dataclass(frozen=True)
class Number:
    r"""The last number in the answer equals ``task.answer``, within a tolerance.

    A number may have thousands separators, or be written as ``1.5e-3``, ``2 × 10^{5}``, ``3/4`` or ``\frac{3}{4}``.
    Digits in a word or an exponent (``H2O``, ``m^2``) count only if there is no other number.

    Attributes:
        tolerance: largest absolute difference that still passes.
        relative_tolerance: the same as a share of the expected number; the larger of the two tolerances applies.

    Example:
        {"verifier": "number", "completion": "3 apples cost 1.50", "answer": 1.5} -> 1.0
        {"verifier": "number", "completion": "about 6.0e23", "answer": 6.022e23, "params": {"relative_tolerance": 0.01}}
        -> 1.0
    """

    tolerance: float = 0.0
    relative_tolerance: float = 0.0
    instances: ClassVar[tuple[str, ...]] = ("absolute", "relative")
    row_params: ClassVar[frozenset[str]] = frozenset({"tolerance", "relative_tolerance"})

    def __post_init__(self) -> None:
        for name in ("tolerance", "relative_tolerance"):
            value = getattr(self, name)
            if isinstance(value, bool) or not 0 <= value < math.inf:
                raise ConfigError(f"verifier 'number': {name} must be finite and not negative, found {value!r}")

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the expected answer is not a number."""
        _expected(answer)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, or ``unparseable`` if there is no number."""
        try:
            expected = _expected(case.answer)
        except DataError as error:
            return infra_error(str(error))
        _, text = split_reasoning(case.visible)
        tail = _normalize_digits(text[-_MAX_TAIL:])
        found = _STANDALONE_NUMBER.findall(tail) or _NUMBER.findall(tail)
        if not found:
            return unparseable("no number in the answer")
        value = read_quantity(found[-1])
        allowed = max(_as_fraction(self.tolerance), _as_fraction(self.relative_tolerance) * abs(expected.value))
        if value is not None and abs(value.value - expected.value) <= allowed:
            return passed(found=found[-1][:200])
        return wrong(f"expected {case.answer!s:.80}, found {found[-1]:.80}", found=found[-1][:200])


def _expected(answer: Any) -> Quantity:
    quantity = read_quantity(str(answer))
    if quantity is None:
        raise DataError(f"the task's answer is not a number: {answer!r:.80}; repair the dataset")
    return quantity


def _normalize_digits(text: str) -> str:
    """Return ``text`` with ASCII digits and minus signs, no thousands separators, and braced fractions."""
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _DASH.sub("-", _SEPARATOR.sub("", text)))


def _as_fraction(tolerance: float) -> Fraction:
    """Return the tolerance as written: 0.3, not the nearest double."""
    return Fraction(str(tolerance))
