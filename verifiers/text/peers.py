"""Group verifiers that compare the attempts at one task with each other, for ``use`` in a rubric."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..case import Case
from ..message import is_reply
from ..registry import verifier
from ..verdict import Verdict, passed, wrong
from .final_answer import final_answer
from .think import split_reasoning


@verifier("relative_length")
@dataclass(frozen=True)
class RelativeLength:
    """Among attempts that passed, the shortest scores 1 and the longest 0; attempts that did not pass score 0.

    This is the length term of Kimi k1.5, scaled to 0..1, so that brevity alone earns nothing. It is a group verifier
    and runs after the other verifiers have scored all attempts of the group.

    Attributes:
        of: label of the reward that decides whether an attempt passed; empty for the one with the largest weight.

    Example:
        {"verifier": "relative_length", "completions": ["4", "so 4", "it is 4", "5"], "rewards": [1, 1, 1, 0]}
        -> [1.0, 0.5, 0.0, 0.0]
    """

    of: str = ""

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return ``ok`` with the score for each attempt that passed, else ``wrong``."""
        right = [has_passed(case, self.of) for case in cases]
        lengths = [_length(case) for case in cases]
        counted = [length for length, is_right in zip(lengths, right, strict=True) if is_right]
        shortest, span = min(counted, default=0), max(counted, default=0) - min(counted, default=0)
        return [
            passed(score=1 - (length - shortest) / span if span else 1.0, characters=length)
            if is_right
            else wrong("the attempt did not pass, so its length earns nothing", characters=length)
            for length, is_right in zip(lengths, right, strict=True)
        ]


@verifier("majority")
@dataclass(frozen=True)
class Majority:
    """Attempts with the most frequent answer of their group score 1, all others 0; reasoning is ignored.

    It replaces reference answers if there are none (test-time reinforcement learning). A policy can agree with itself
    on anything, so use weight 0 if better rewards exist. If answers tie for the most votes, all score 0. It is a group
    verifier and sees all attempts at once.

    Attributes:
        ignore_case: compare in lower case.

    Example:
        {"verifier": "majority", "completions": ["4", "<think>?</think> 4", "5"]} -> [1.0, 1.0, 0.0]
    """

    ignore_case: bool = False

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return ``ok`` 1.0 for the most frequent answer, else ``wrong``; empty answers have no vote."""
        answers = [" ".join(split_reasoning(case.visible)[1].split()) for case in cases]
        if self.ignore_case:
            answers = [answer.casefold() for answer in answers]
        votes = Counter(filter(None, answers)).most_common(2)
        tie = len(votes) == 2 and votes[0][1] == votes[1][1]
        winner = votes[0][0] if votes and not tie else None
        share = votes[0][1] / len(cases) if votes else 0.0
        return [
            passed(votes=share) if winner is not None and answer == winner else wrong("not the majority answer")
            for answer in answers
        ]


@verifier("consistency")
@dataclass(frozen=True)
class Consistency:
    r"""An attempt that passed scores the share of the other attempts with the same answer; the others score 0.

    The answer is what stands in the last ``<answer>`` or box, else the whole reply without its reasoning; case and
    white space do not count. Unlike ``majority``, it pays nothing for agreeing on a wrong answer. It is a group
    verifier and runs after the other verifiers have scored all attempts; the environment ``paraphrases`` asks each of
    them in its own words.

    Attributes:
        of: label of the reward that decides whether an attempt passed; empty for the one with the largest weight.

    Example:
        {"verifier": "consistency", "completions": ["<answer>4</answer>", "so \\boxed{4}", "5"], "rewards": [1, 1, 0]}
        -> [0.5, 0.5, 0.0]
    """

    of: str = ""

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return ``ok`` with the share for each attempt that passed, else ``wrong``."""
        texts = [split_reasoning(case.visible)[1] for case in cases]
        answers = [" ".join((final_answer(text) or text).casefold().split()) for text in texts]
        votes = Counter(answers)
        return [
            passed(score=(votes[answer] - 1) / max(1, len(cases) - 1))
            if has_passed(case, self.of)
            else wrong("it is not right")
            for case, answer in zip(cases, answers, strict=True)
        ]


def has_passed(case: Case, label: str) -> bool:
    """Return whether the attempt passed in the reward ``label``, or in the one that defines success."""
    if not label:
        return bool(case.reward.success)
    verdicts = {part.label: part.verdict for part in case.reward.components}
    return label in verdicts and verdicts[label].passed


def _length(case: Case) -> int:
    """Return the number of characters that the agent wrote."""
    return sum(len(message["content"]) for message in case.messages if is_reply(message))
