"""The verifier that finds texts which repeat themselves, as a degenerate sampler's do."""

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
"""Characters at the end of a text in which a loop is looked for."""

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]+")


@verifier("repetition")
@dataclass(frozen=True)
class Repetition:
    """Few n-grams come again, no line is said over and over, and the text does not end in a loop.

    The score is 1 up to ``maximum``, falls in a straight line to 0 at ``maximum + margin``, and is 0 for lines in a row
    and loops. N-grams are of words and rows of punctuation marks; each CJK character is a word.

    Attributes:
        n: words in an n-gram.
        maximum: largest share of n-grams that stood before already.
        margin: over which share beyond it the score falls to 0.
        lines: most equal lines in a row, blank ones aside.
        loops: times that an ending must come in a row to be a loop; 0 looks for none.
        loop_characters: least length of a loop in all, shorter rows of equal characters being rules and zeros.
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
            raise ConfigError(f"verifier 'repetition': of is one of {', '.join(PARTS)}, found {self.of!r}")
        for name, least in (("n", 1), ("lines", 1), ("loop_characters", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"verifier 'repetition': {name} is a whole number from {least}, found {value!r}")
        if isinstance(self.loops, bool) or not isinstance(self.loops, int) or self.loops < 0 or self.loops == 1:
            raise ConfigError(f"verifier 'repetition': loops is 0 or a whole number from 2, found {self.loops!r}")
        for name in ("maximum", "margin"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"verifier 'repetition': {name} is from 0 to 1, found {value!r}")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, ``wrong`` with what the margin leaves, or ``unparseable`` where there is no text."""
        text = case.completion
        if self.of != "both":
            reasoning, answer = split_reasoning(text)
            text = answer if self.of == "answer" else reasoning
        if not text.strip():
            return unparseable("there is no text")
        share = repeated_share(_TOKEN.findall(text.lower()), self.n)
        run = longest_run([line.strip() for line in text.splitlines() if line.strip()])
        endings = (text.rstrip(), text) if self.loops else ()  # a loop of blank lines is one too
        loops = (loop_period(ending[-LOOP_WINDOW:], self.loops, self.loop_characters) for ending in endings)
        period = next(filter(None, loops), 0)
        evidence = {"share": round(share, 4), "lines": run, "loop": period}
        if period:
            return wrong(f"it ends in a loop of {period} characters: {text.rstrip()[-period:]!r:.60}", **evidence)
        if run > self.lines:
            return wrong(f"one line stands {run} times in a row, allowed are {self.lines}", **evidence)
        if share <= self.maximum:
            return passed(f"{share:.0%} of {self.n}-grams repeat", **evidence)
        score = max(0.0, 1 - (share - self.maximum) / self.margin) if self.margin else 0.0
        return wrong(f"{share:.0%} of {self.n}-grams repeat, allowed are {self.maximum:.0%}", score, **evidence)


def repeated_share(tokens: Sequence[str], n: int) -> float:
    """Share of the n-grams that are equal to an earlier one; 0 where there are none."""
    total = len(tokens) - n + 1
    if total <= 0:
        return 0.0
    return 1 - len(set(zip(*(tokens[i:] for i in range(n)), strict=False))) / total


def longest_run(items: Sequence[Hashable]) -> int:
    """Length of the longest row of equal items."""
    longest = run = 0
    for index, item in enumerate(items):
        run = run + 1 if index and item == items[index - 1] else 1
        longest = max(longest, run)
    return longest


def loop_period(text: str, times: int, least: int) -> int:
    """Length of what comes ``times`` in a row at the end of ``text``, in ``least`` characters or more; 0 for no loop.

    By the prefix function of the reversed text, in linear time: a prefix of length m and border b has period m - b.
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
