"""The advantage estimators that ``trainer.advantage`` chooses by name."""

from collections.abc import Callable, Sequence

import numpy as np

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from ...verifiers.plugins import Plugins
from .earned import Earned, Floats, earned_of

Estimator = Callable[[Sequence[Earned]], list[Floats]]
"""Takes the rewards of a step's groups and returns an array of advantages for each, in the same order."""

ESTIMATORS: Plugins[Estimator] = Plugins(
    "advantage estimator",
    __package__,
    {
        "grpo": "relative:grpo",
        "dr_grpo": "relative:dr_grpo",
        "rloo": "relative:rloo",
        "maxrl": "relative:maxrl",
        "reinforce_pp": "whole_batch:reinforce_pp",
        "reinforce_pp_baseline": "whole_batch:reinforce_pp_baseline",
        "gdpo": "whole_batch:gdpo",
    },
)


class Advantages:
    """The advantage of each agent in each attempt of a step's groups.

    Args:
        values: for each group, a mapping (position of the attempt in the group, agent) → advantage.
    """

    def __init__(self, values: Sequence[dict[tuple[int, str], float]]) -> None:
        self.values = tuple(values)

    def of(self, group: int, attempt: int, agent: str) -> float:
        """Return the advantage of one agent in one attempt; 0 if the agent has no reward, so that it learns nothing."""
        return self.values[group].get((attempt, agent), 0.0)


def compute_advantages(groups: Sequence[Group], name: str) -> Advantages:
    """Compute the advantages of a step's groups with the estimator ``name``.

    Raises:
        DataError: A reward is missing or not finite, or the estimator cannot handle it.
    """
    earned = earned_of(groups)
    values: list[dict[tuple[int, str], float]] = [{} for _ in groups]
    for one, advantages_G in zip(earned, ESTIMATORS.load(name)(earned), strict=True):
        if not (np.abs(advantages_G) <= np.finfo(np.float32).max).all():  # samples are float32
            group = groups[one.group]
            raise DataError(
                f"group {group.index} (task {group.task.id}): the advantages of {one.agent!r} must be finite, but "
                f"trainer.advantage = {name!r} made {advantages_G} of the rewards {one.totals_G}"
            )
        values[one.group] |= {
            (attempt, one.agent): float(value) for attempt, value in zip(one.attempts, advantages_G, strict=True)
        }
    return Advantages(values)
