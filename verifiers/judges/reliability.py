"""How well scores and probabilities agree with people's labels: the area under the ROC curve, and reliability."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Bin(NamedTuple):
    """The replies whose probabilities are from ``low`` to ``high``.

    Attributes:
        low, high: the ends; the upper one belongs to the bin only if it is 1.
        replies: how many there are.
        predicted: the mean of their probabilities.
        accepted: the share that people accept.
    """

    low: float
    high: float
    replies: int
    predicted: float
    accepted: float


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The probability that an accepted reply has a higher score than a refused one; equal scores count half.

    There must be labels of both kinds.
    """
    x, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # equal scores share the mean of their ranks
    accepted, refused = int(y.sum()), int((~y).sum())
    return float((ranks[y].sum() - accepted * (accepted + 1) / 2) / (accepted * refused))


def reliability(probabilities: Sequence[float], labels: Sequence[bool], bins: int = 10) -> list[Bin]:
    """The bins of equal width that hold a reply, by rising probability."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=bool)
    number = np.minimum((p * bins).astype(int), bins - 1)
    return [
        Bin(k / bins, (k + 1) / bins, int(inside.sum()), float(p[inside].mean()), float(y[inside].mean()))
        for k in range(bins)
        if (inside := number == k).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean distance between predicted and accepted, over replies."""
    return sum(each.replies * abs(each.predicted - each.accepted) for each in bins) / sum(each.replies for each in bins)
