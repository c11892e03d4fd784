"""The loss of demonstrations: cross-entropy."""

import torch

from .config import LossConfig
from .terms import PolicyLoss, Tokens


def supervised(tokens: Tokens, config: LossConfig) -> PolicyLoss:
    """−A·log π: cross-entropy (SFT) with A = 1, and rejection sampling if only the good attempts have A > 0."""
    ones_N = torch.ones_like(tokens.logprobs_N)
    return PolicyLoss(-tokens.advantages_N * tokens.logprobs_N, ones_N, ones_N.bool().logical_not())
