"""Verifier that scores word overlap between the answer and a reference."""

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
    """The words of the answer overlap with those of ``task.answer``; the score is their F1, as in SQuAD.

    Texts are normalised first (see ``exact``). If ``task.answer`` is a list, the best item counts.

    Attributes:
        pass_mark: smallest F1 with status ``ok``; the score is the F1 itself in either case.

    Example:
        {"verifier": "f1", "completion": "in Paris, France", "answer": ["Paris", "the city of Paris"]} -> 0.5
    """

    pass_mark: float = 0.5
    row_params: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if isinstance(self.pass_mark, bool) or not 0 < self.pass_mark <= 1:
            raise ConfigError(f"verifier 'f1': pass_mark must be above 0 and at most 1, found {self.pass_mark!r}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with F1 as the score, or ``unparseable`` for an empty answer."""
        expected = references(case.answer)
        if not expected:
            return infra_error("the task has no answer to compare with; repair the dataset")
        _, text = split_reasoning(case.visible)
        found = normalized(text).split()
        if not found:
            return unparseable("the answer is empty")
        score, best = max((token_f1(found, normalized(reference).split()), reference) for reference in expected)
        verdict = passed if score >= self.pass_mark else wrong
        return verdict(f"F1 {score:.3f} with {best!r:.80}", score, reference=best[:200])


def token_f1(found: list[str], expected: list[str]) -> float:
    """Return the harmonic mean of precision and recall over two bags of words."""
    shared = (Counter(found) & Counter(expected)).total()
    return 2 * shared / (len(found) + len(expected)) if shared else 0.0
