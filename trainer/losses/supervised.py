"""The loss of demonstrations: cross-entropy."""

import torch

from .terms import PolicyLoss, Tokens


def supervised(tokens: Tokens) -> PolicyLoss:
    """−A·log π: with A = 1 cross-entropy (SFT), with A > 0 for the good attempts only, rejection sampling."""
    ones_N = torch.ones_like(tokens.logprobs_N)
    return PolicyLoss(-tokens.advantages_N * tokens.logprobs_N, ones_N, ones_N.bool().logical_not())
