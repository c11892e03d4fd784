"""Advantages by the name that ``trainer.advantage`` takes."""

from collections.abc import Callable, Sequence

import numpy as np

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from .earned import Earned, Floats, earned_of
from .relative import dr_grpo, grpo, maxrl, rloo
from .whole_batch import gdpo, reinforce_pp, reinforce_pp_baseline

Estimator = Callable[[Sequence[Earned]], list[Floats]]
"""All that a step's attempts earned → advantages of each, in the same order."""


def by_group(formula: Callable[[Floats], Floats]) -> Estimator:
    """The estimator that looks at each group's totals by themselves."""

    def estimate(batch: Sequence[Earned]) -> list[Floats]:
        return [formula(earned.totals_G) for earned in batch]

    return estimate


ADVANTAGES: dict[str, Estimator] = {
    "grpo": by_group(grpo),
    "dr_grpo": by_group(dr_grpo),
    "rloo": by_group(rloo),
    "maxrl": by_group(maxrl),
    "reinforce_pp": reinforce_pp,
    "reinforce_pp_baseline": reinforce_pp_baseline,
    "gdpo": gdpo,
}


def advantages_of(groups: Sequence[Group], name: str) -> list[dict[tuple[int, str], float]]:
    """For each group: (sample number, agent) → advantage.

    Raises:
        DataError: a reward is missing or not finite, or is none that the formula can take.
    """
    batch = earned_of(groups)
    found: list[dict[tuple[int, str], float]] = [{} for _ in groups]
    for earned, advantages_G in zip(batch, ADVANTAGES[name](batch), strict=True):
        if not np.isfinite(advantages_G).all():
            group = groups[earned.group]
            raise DataError(
                f"group {group.index} (task {group.task.id}): the advantages of {earned.agent!r} are {advantages_G}, "
                f"from rewards {earned.totals_G}"
            )
        found[earned.group] |= {
            (sample, earned.agent): float(value) for sample, value in zip(earned.samples, advantages_G, strict=True)
        }
    return found
