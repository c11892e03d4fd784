"""Verifiers that judge the attempts at one task against each other: for ``use`` in a rubric, as group rewards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..case import Case
from ..message import is_reply
from ..registry import verifier
from ..verdict import Verdict, passed, wrong
from .think import split_reasoning


@verifier("relative_length")
@dataclass(frozen=True)
class RelativeLength:
    """The shortest of the attempts that passed; 1 for it, down to 0 for the longest, and 0 for those that did not pass.

    The length term of Kimi k1.5, from 0 to 1, so that brevity alone earns nothing. A group's verifier: it adds to
    attempts that are judged already, all of one group at once.

    Attributes:
        of: the label of the reward that says whether an attempt passed; empty for the heaviest.

    Example:
        {"verifier": "relative_length", "completions": ["4", "so 4", "it is 4", "5"], "rewards": [1, 1, 1, 0]}
        -> [1.0, 0.5, 0.0, 0.0]
    """

    of: str = ""

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """``ok`` with the score for attempts that passed, else ``wrong``."""
        right = [self._passed(case) for case in cases]
        lengths = [_length(case) for case in cases]
        counted = [length for length, is_right in zip(lengths, right, strict=True) if is_right]
        shortest, span = min(counted, default=0), max(counted, default=0) - min(counted, default=0)
        return [
            passed(score=1 - (length - shortest) / span if span else 1.0, characters=length)
            if is_right
            else wrong("it did not pass, whatever its length", characters=length)
            for length, is_right in zip(lengths, right, strict=True)
        ]

    def _passed(self, case: Case) -> bool:
        if not self.of:
            return bool(case.reward.success)
        verdicts = {part.label: part.verdict for part in case.reward.components}
        return self.of in verdicts and verdicts[self.of].passed


@verifier("majority")
@dataclass(frozen=True)
class Majority:
    """The answer that most attempts of the group give, as text without reasoning: 1 for it, 0 for the others.

    Without right answers at hand it stands for them (test-time reinforcement learning); a policy can then agree with
    itself on anything, so leave it at weight 0 where there are better ones. Answers that tie for the most score 0. A
    group's verifier: it sees all attempts at once.

    Attributes:
        ignore_case: compare in lower case.

    Example:
        {"verifier": "majority", "completions": ["4", "<think>?</think> 4", "5"]} -> [1.0, 1.0, 0.0]
    """

    ignore_case: bool = False

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """``ok`` 1.0 for the most frequent answer, else ``wrong``; an empty answer is none."""
        answers = [" ".join(split_reasoning(case.completion)[1].split()) for case in cases]
        if self.ignore_case:
            answers = [answer.casefold() for answer in answers]
        votes = Counter(filter(None, answers)).most_common(2)
        tie = len(votes) == 2 and votes[0][1] == votes[1][1]
        winner = votes[0][0] if votes and not tie else None
        share = votes[0][1] / len(cases) if votes else 0.0
        return [
            passed(votes=share) if winner is not None and answer == winner else wrong("not the majority's answer")
            for answer in answers
        ]


def _length(case: Case) -> int:
    """Characters that the agent has written."""
    return sum(len(message["content"]) for message in case.messages if is_reply(message))
