"""REINFORCE weighted by a bounded ratio: CISPO."""

import torch

from .config import LossConfig
from .terms import PolicyLoss, Tokens


def cispo(tokens: Tokens, config: LossConfig) -> PolicyLoss:
    """−sg(clip(ρ, 1−ε_low, 1+ε_high))·A·log π, sg being stop-gradient: no token loses its gradient.

    MiniMax-M1 (arXiv:2506.13585, eq. 4). ``clipped`` marks the tokens whose weight was bounded.
    """
    ratio_N = torch.exp(tokens.log_ratios_N).detach()
    weight_N = ratio_N.clamp(1 - config.clip_low, 1 + config.clip_high)
    return PolicyLoss(-weight_N * tokens.advantages_N * tokens.logprobs_N, ratio_N, weight_N != ratio_N)
