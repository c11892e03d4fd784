"""The answers that a judge may give, and the parser that finds the one it gave."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..text.think import split_reasoning
from ..text.visible import visible

WORD = "VERDICT"
"""The word at the beginning of the line that has the verdict."""
MARKS = " \t*`_\"'"
"""Markdown and quotation marks, which may stand around a verdict."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True)
class Answers:
    """A scale of numbers, or labels with their scores.

    Attributes:
        low, high: the ends of the scale; they score 0 and 1.
        labels: label → score; if there are any, there is no scale.
    """

    low: float = 0.0
    high: float = 1.0
    labels: Mapping[str, float] | None = None

    @property
    def described(self) -> str:
        """The possible answers, in words for the prompt."""
        if self.labels:
            return "one of these words: " + ", ".join(self.labels)
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, text: str) -> str | None:
        """The answer that ``text`` is, as a label or a number; None if it is none."""
        whole = text.strip(MARKS)
        bare = whole.removesuffix(".").strip(MARKS)
        if self.labels:
            named = {label.casefold(): label for label in self.labels}
            return named.get(whole.casefold()) or named.get(bare.casefold())
        number = bare.removesuffix(f"/{self.high:g}")
        if not _NUMBER.fullmatch(number) or not self.low <= float(number) <= self.high:
            return None
        return number

    def score(self, answer: str) -> float:
        """The score of an answer that ``read`` returned; from 0 to 1 on a scale."""
        if self.labels:
            return float(self.labels[answer])
        return (float(answer) - self.low) / (self.high - self.low)


def verdict_line(nonce: str, answer: str) -> str:
    """The line that a judge ends with."""
    return f"{WORD} {nonce}: {answer}"


def read_verdict(reply: str, nonce: str, answers: Answers) -> tuple[str | None, str]:
    """Find the verdict in a judge's reply.

    Only the last line counts, and only with the nonce of this call, which no judged text can contain, because it was
    drawn later. A reply with a second, different verdict has none.

    Args:
        reply: the judge's raw text; its reasoning is left out.
        nonce: of this call.
        answers: the possible answers.

    Returns:
        (answer, ""), or (None, why there is none).
    """
    lines = [line.strip(MARKS) for line in visible(split_reasoning(reply)[1]).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return None, "the judge's reply is empty"
    begins = f"{WORD} {nonce}:"
    if not lines[-1].startswith(begins):
        return None, "the last line of the judge's reply is not the verdict line of this call"
    answer = answers.read(lines[-1][len(begins) :])
    if answer is None:
        return None, f"the judge's verdict is not {answers.described}: {lines[-1][len(begins) :].strip()!r:.80}"
    others = {answers.read(line[len(begins) :]) for line in lines[:-1] if line.startswith(begins)} - {None, answer}
    if others:
        return None, "the judge's reply has two different verdicts"
    return answer, ""
