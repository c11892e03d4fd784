"""Several judges together: one answer or score of theirs, and how far they agree."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

COMBINE = ("mean", "majority", "min", "max")


def combined(scores: Sequence[float], how: str) -> float:
    """The one score of several judges; a tie of the majority goes to the lowest score of those that tie."""
    if how == "majority":
        votes = Counter(scores)
        return min(score for score, count in votes.items() if count == max(votes.values()))
    return {"mean": sum(scores) / len(scores), "min": min(scores), "max": max(scores)}[how]


def agreement(scores: Sequence[float], span: float = 1.0) -> float | None:
    """How far judges agree: 1 minus the mean distance of two of them, as a share of ``span``; None for one judge."""
    pairs = list(combinations(scores, 2))
    if not pairs:
        return None
    return 1 - sum(abs(a - b) for a, b in pairs) / len(pairs) / (span or 1.0)
