"""Advantages that compare an attempt with the other attempts of its group.

r are the rewards of a group of G attempts, μ is their mean and σ their sample standard deviation. If all rewards of a
group are equal, or if it has one attempt only, all of its advantages are exactly 0: it teaches nothing.
"""

import numpy as np

from ...verifiers.errors import DataError
from .earned import Floats, by_group

EPSILON = 1e-4
"""Keeps the division finite; the value that TRL uses."""


@by_group
def grpo(rewards_G: Floats) -> Floats:
    """(r − μ) / (σ + ε): GRPO (DeepSeekMath, arXiv:2402.03300, section 4.1.2)."""
    return centred(rewards_G) / (rewards_G.std(ddof=1) + EPSILON) if rewards_G.size > 1 else centred(rewards_G)


@by_group
def dr_grpo(rewards_G: Floats) -> Floats:
    """The centred reward r − μ: Dr. GRPO (arXiv:2503.20783). Use it with ``trainer.loss.normalize = "constant"``."""
    return centred(rewards_G)


@by_group
def rloo(rewards_G: Floats) -> Floats:
    """The reward minus the mean of the *other* rewards, G/(G−1)·(r − μ): RLOO (arXiv:2402.14740)."""
    return centred(rewards_G) * rewards_G.size / max(1, rewards_G.size - 1)


@by_group
def maxrl(rewards_G: Floats) -> Floats:
    """(r − μ) / μ, or 0 if all rewards are 0: MaxRL, which weighs a rare success as maximum likelihood does.

    Raises:
        DataError: A reward is negative, so it cannot stand for a likelihood.
    """
    if (rewards_G < 0).any():
        raise DataError(
            f"maxrl needs rewards of 0 or more, found {rewards_G.min():g}; choose another trainer.advantage"
        )
    mean = rewards_G.mean()
    return centred(rewards_G) / mean if mean else np.zeros_like(rewards_G)


def centred(rewards_G: Floats) -> Floats:
    """The reward minus the mean; exactly 0 if all rewards are equal, even where their mean is rounded."""
    return np.zeros_like(rewards_G) if np.ptp(rewards_G) == 0 else rewards_G - rewards_G.mean()
