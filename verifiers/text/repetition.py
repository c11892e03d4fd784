"""Verifier that detects texts which repeat themselves, as degenerate sampling does."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import verifier
from ..verdict import Verdict, passed, unparseable, wrong
from .length import PARTS
from .think import split_reasoning

LOOP_WINDOW = 20_000
"""Number of characters at the end of a text that are searched for a loop."""

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]+")


@verifier("repetition")
@dataclass(frozen=True)
class Repetition:
    """Few n-grams repeat, no line repeats many times in a row, and the text does not end in a loop.

    The score is 1 up to ``maximum`` and falls linearly to 0 at ``maximum + margin``; repeated lines and loops score 0.
    N-grams consist of words and runs of punctuation; each CJK character is a word.

    Attributes:
        n: words in an n-gram.
        maximum: largest share of n-grams that may repeat an earlier one.
        margin: range of the share above ``maximum`` over which the score falls to 0.
        lines: largest number of equal lines in a row; blank lines are ignored.
        loops: number of repetitions at the end of the text that make a loop; 0 disables this check.
        loop_characters: smallest total length of a loop; shorter ones may be rules or zeros.
        of: ``answer``, ``reasoning`` or ``both``.

    Example:
        {"verifier": "repetition", "completion": "The sea is blue. The sky is blue too.", "answer": null} -> 1.0
        {"verifier": "repetition", "completion": "so it is so it is so it is so it is so it is so it is",
         "answer": null} -> 0.0
    """

    n: int = 4
    maximum: float = 0.3
    margin: float = 0.2
    lines: int = 4
    loops: int = 4
    loop_characters: int = 200
    of: str = "both"
    instances: ClassVar[tuple[str, ...]] = ("n-grams", "lines", "loops")
    row_params: ClassVar[frozenset[str]] = frozenset({"maximum", "margin", "of"})

    def __post_init__(self) -> None:
        if self.of not in PARTS:
            raise ConfigError(f"verifier 'repetition': of must be one of {', '.join(PARTS)}, found {self.of!r}")
        for name, least in (("n", 1), ("lines", 1), ("loop_characters", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"verifier 'repetition': {name} must be an integer of at least {least}, found {value!r}"
                )
        if isinstance(self.loops, bool) or not isinstance(self.loops, int) or self.loops < 0 or self.loops == 1:
            raise ConfigError(
                f"verifier 'repetition': loops must be 0 or an integer of at least 2, found {self.loops!r}"
            )
        for name in ("maximum", "margin"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"verifier 'repetition': {name} must be from 0 to 1, found {value!r}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with the score of the margin, or ``unparseable`` if there is no text."""
        text = case.visible
        if self.of != "both":
            reasoning, answer = split_reasoning(text)
            text = answer if self.of == "answer" else reasoning
        if not text.strip():
            return unparseable("there is no text")
        share = repeated_share(_TOKEN.findall(text.lower()), self.n)
        run = longest_run([line.strip() for line in text.splitlines() if line.strip()])
        endings = (text.rstrip(), text) if self.loops else ()  # blank lines can be a loop too
        loops = (loop_period(ending[-LOOP_WINDOW:], self.loops, self.loop_characters) for ending in endings)
        period = next(filter(None, loops), 0)
        evidence = {"share": round(share, 4), "lines": run, "loop": period}
        if period:
            return wrong(f"the text ends in a loop of {period} characters: {text.rstrip()[-period:]!r:.60}", **evidence)
        if run > self.lines:
            return wrong(f"one line occurs {run} times in a row, more than {self.lines}", **evidence)
        if share <= self.maximum:
            return passed(f"{share:.0%} of {self.n}-grams repeat", **evidence)
        score = max(0.0, 1 - (share - self.maximum) / self.margin) if self.margin else 0.0
        return wrong(f"{share:.0%} of {self.n}-grams repeat, more than {self.maximum:.0%}", score, **evidence)


def repeated_share(tokens: Sequence[str], n: int) -> float:
    """Return the share of n-grams that repeat an earlier one; 0 if there are no n-grams."""
    total = len(tokens) - n + 1
    if total <= 0:
        return 0.0
    return 1 - len(set(zip(*(tokens[i:] for i in range(n)), strict=False))) / total


def longest_run(items: Sequence[Hashable]) -> int:
    """Return the length of the longest run of equal items."""
    longest = run = 0
    for index, item in enumerate(items):
        run = run + 1 if index and item == items[index - 1] else 1
        longest = max(longest, run)
    return longest


def loop_period(text: str, times: int, least: int) -> int:
    """Return the period of a loop at the end of ``text``, or 0 if there is none.

    A loop repeats at least ``times`` and has at least ``least`` characters in all. Linear time, with the prefix
    function of the reversed text: a prefix of length m with border b has period m - b.
    """
    backwards = text[::-1]
    border = [0] * len(backwards)
    found = 0
    for index in range(1, len(backwards)):
        length = border[index - 1]
        while length and backwards[index] != backwards[length]:
            length = border[length - 1]
        border[index] = length + (backwards[index] == backwards[length])
        size = index + 1
        period = size - border[index]
        if size >= max(least, times * period):
            found = period
    return found
