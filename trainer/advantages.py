"""How the rewards of a group become advantages."""

import numpy as np
import numpy.typing as npt

from ..verifiers.errors import DataError
from ..verifiers.group import Group

EPSILON = 1e-4
"""Keeps the division finite; TRL's value."""


def grpo(rewards_G: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Group-relative advantages, (r − μ) / (σ + ε) with σ the sample standard deviation (DeepSeekMath, eq. 4.1.2).

    A group of equal rewards, or of one, has advantages of exactly 0: it teaches nothing.
    """
    if rewards_G.size < 2 or np.ptp(rewards_G) == 0:
        return np.zeros_like(rewards_G)
    advantages: npt.NDArray[np.float64] = (rewards_G - rewards_G.mean()) / (rewards_G.std(ddof=1) + EPSILON)
    return advantages


ADVANTAGES = {"grpo": grpo}
"""By the name that ``trainer.advantage`` takes."""


def group_advantages(group: Group, name: str) -> dict[tuple[int, str], float]:
    """(sample number, agent) → advantage, computed per agent over the group.

    Raises:
        DataError: a reward is missing or not finite; the message names group and agent.
    """
    advantages: dict[tuple[int, str], float] = {}
    for agent in sorted({agent for attempt in group.trajectories for agent in attempt.rewards}):
        samples = [number for number, attempt in enumerate(group.trajectories) if agent in attempt.rewards]
        rewards_G = np.array([group.trajectories[number].rewards[agent].total for number in samples])
        if not np.isfinite(rewards_G).all():
            raise DataError(f"group {group.index} (task {group.task.id}): the rewards of {agent!r} are {rewards_G}")
        values = ADVANTAGES[name](rewards_G)
        advantages |= {(number, agent): float(value) for number, value in zip(samples, values, strict=True)}
    return advantages
