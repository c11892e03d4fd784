"""Advantages normalised over all attempts of a step, so that a group with little variance does not weigh more."""

from collections.abc import Sequence

import numpy as np

from .earned import Earned, Floats
from .relative import EPSILON, centred


def reinforce_pp(batch: Sequence[Earned]) -> list[Floats]:
    """(r − μ_batch) / (σ_batch + ε), without a baseline for each group: REINFORCE++ (arXiv:2501.03262)."""
    return normalised([earned.totals_G for earned in batch])


def reinforce_pp_baseline(batch: Sequence[Earned]) -> list[Floats]:
    """The rewards minus μ_group, then as ``reinforce_pp``: the paper's variant for several attempts at one task."""
    return normalised([centred(earned.totals_G) for earned in batch])


def gdpo(batch: Sequence[Earned]) -> list[Floats]:
    """Normalise each component by itself, so that none outweighs the others: GDPO (arXiv:2601.05242).

    z_k = (r_k − μ_k) / (σ_k + ε) within the group, s = Σ w_k z_k, then (s − μ_batch) / (σ_batch + ε). A rubric's
    ``clip``, which bounds the total reward, has no effect here.
    """
    return normalised([_by_component(earned) for earned in batch])


def normalised(values: Sequence[Floats]) -> list[Floats]:
    """Scale all values together to mean 0 and standard deviation 1; exactly 0 if all are equal."""
    together = np.concatenate(values) if values else np.empty(0)
    if together.size < 2 or np.ptp(together) == 0:
        return [np.zeros_like(each) for each in values]
    return [(each - together.mean()) / (together.std(ddof=1) + EPSILON) for each in values]


def _by_component(earned: Earned) -> Floats:
    attempts = earned.totals_G.size
    if attempts < 2:
        return np.zeros(attempts)
    columns = [centred(column_G) / (column_G.std(ddof=1) + EPSILON) for column_G in earned.scores_GK.T]
    summed: Floats = np.stack(columns, axis=1) @ earned.weights_K if columns else np.zeros(attempts)
    return summed
