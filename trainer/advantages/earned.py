"""The rewards of one agent's attempts at one task; advantages are computed from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from ...verifiers.reward import Reward

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Earned:
    """The rewards of G attempts: their totals, and the scores of their K components.

    Attributes:
        group: the group's position in the step.
        attempts: the attempts' positions in that group.
        agent: the agent that earned the rewards.
        totals_G: float64, the total reward of each attempt.
        scores_GK: float64, the score of each component; 0 where an attempt lacks that component.
        weights_K: float64, the components' weights. Components of weight 0 are left out.
        labels: the labels of the K components.
    """

    group: int
    attempts: tuple[int, ...]
    agent: str
    totals_G: Floats
    scores_GK: Floats
    weights_K: Floats
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ByGroup:
    """An estimator that takes one group at a time, so that it needs no other groups of the step.

    Attributes:
        formula: takes the totals [G] of one group, and returns its advantages.
    """

    formula: Callable[[Floats], Floats]

    def __call__(self, batch: Sequence[Earned]) -> list[Floats]:
        """Return the advantages of each of ``batch``."""
        return [self.formula(earned.totals_G) for earned in batch]


def by_group(formula: Callable[[Floats], Floats]) -> ByGroup:
    """Decorator that makes an estimator of ``formula``, which takes the totals [G] of one group."""
    return ByGroup(formula)


def earned_of(groups: Sequence[Group]) -> list[Earned]:
    """Return the rewards of every agent in every group, in order.

    Raises:
        DataError: A reward is missing or not finite. The message names the group and the agent.
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
        raise DataError(
            f"group {group.index} (task {group.task.id}): the rewards of {agent!r} must be finite, found {totals_G}"
        )
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
    """Return a component's score, or 0 if the attempt lacks the component or failed a gate."""
    if reward.gate:
        return 0.0
    scores: dict[str, Any] = {part.label: part.counted for part in reward.components}
    return float(scores.get(label) or 0.0)
