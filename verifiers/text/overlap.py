"""The verifier that scores by the words which answer and reference share."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .normalization import normalized, references
from .think import split_reasoning


@verifier("f1")
@dataclass(frozen=True)
class F1:
    """The words of the answer overlap with those of ``task.answer``: the score is their F1, as SQuAD has it.

    Words are those of the normalised texts (see ``exact``). Where ``task.answer`` is a list, its best item counts.

    Attributes:
        pass_mark: F1 from which the status is ``ok``; the score is F1 on either side of it.

    Example:
        {"verifier": "f1", "completion": "in Paris, France", "answer": ["Paris", "the city of Paris"]} -> 0.5
    """

    pass_mark: float = 0.5
    row_params: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if isinstance(self.pass_mark, bool) or not 0 < self.pass_mark <= 1:
            raise ConfigError(f"verifier 'f1': pass_mark is above 0 and at most 1, found {self.pass_mark!r}")

    async def verify(self, case: Case) -> Verdict:
        """``ok`` or ``wrong`` with the F1 as score, or ``unparseable`` for an empty answer."""
        expected = references(case.answer)
        if not expected:
            return infra_error("the task has no answer to compare with; repair the dataset")
        _, text = split_reasoning(case.completion)
        found = normalized(text).split()
        if not found:
            return unparseable("the answer is empty")
        score, best = max((token_f1(found, normalized(reference).split()), reference) for reference in expected)
        judged = passed if score >= self.pass_mark else wrong
        return judged(f"F1 {score:.3f} with {best!r:.80}", score, reference=best[:200])


def token_f1(found: list[str], expected: list[str]) -> float:
    """Harmonic mean of precision and recall over the two bags of words."""
    shared = (Counter(found) & Counter(expected)).total()
    return 2 * shared / (len(found) + len(expected)) if shared else 0.0
