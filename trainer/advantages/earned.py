"""The rewards of one agent's attempts at one task, from which advantages are computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from ...verifiers.reward import Reward

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Earned:
    """The rewards of G attempts, whole and by component.

    Attributes:
        group: where the attempts are in the step's groups.
        attempts: their places in that group.
        agent: whose rewards these are.
        totals_G: float64.
        scores_GK: float64, each component's score; 0 where an attempt has none of that label.
        weights_K: float64, the components' weights; those of weight 0 are left out.
        labels: of the K components.
    """

    group: int
    attempts: tuple[int, ...]
    agent: str
    totals_G: Floats
    scores_GK: Floats
    weights_K: Floats
    labels: tuple[str, ...]


def by_group(formula: Callable[[Floats], Floats]) -> Callable[[Sequence[Earned]], list[Floats]]:
    """Decorator: an estimator that applies ``formula`` to the totals [G] of each group by itself."""

    @wraps(formula)
    def estimate(batch: Sequence[Earned]) -> list[Floats]:
        return [formula(earned.totals_G) for earned in batch]

    return estimate


def earned_of(groups: Sequence[Group]) -> list[Earned]:
    """The rewards of every agent in every group, in order.

    Raises:
        DataError: a reward is missing or not finite; the message names group and agent.
    """
    return [
        _earned(number, group, agent)
        for number, group in enumerate(groups)
        for agent in sorted({agent for attempt in group.trajectories for agent in attempt.rewards})
    ]


def _earned(number: int, group: Group, agent: str) -> Earned:
    attempts = tuple(place for place, attempt in enumerate(group.trajectories) if agent in attempt.rewards)
    rewards = [group.trajectories[place].rewards[agent] for place in attempts]
    totals_G = np.array([reward.total for reward in rewards])
    if not np.isfinite(totals_G).all():
        raise DataError(f"group {group.index} (task {group.task.id}): the rewards of {agent!r} are {totals_G}")
    weights: dict[str, float] = {}
    for reward in rewards:
        weights |= {label: weight for label, weight, _ in reward.components if weight}
    scores_GK = np.array([[_score(reward, label) for label in weights] for reward in rewards])
    return Earned(
        number,
        attempts,
        agent,
        totals_G,
        scores_GK.reshape(len(attempts), len(weights)),
        np.array(list(weights.values())),
        tuple(weights),
    )


def _score(reward: Reward, label: str) -> float:
    """A component's score; 0 where the attempt lacks that label, or a gate was not passed."""
    if reward.gate:
        return 0.0
    scores: dict[str, Any] = {part.label: part.verdict.score for part in reward.components}
    return float(scores.get(label) or 0.0)
