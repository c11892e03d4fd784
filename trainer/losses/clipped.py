"""The clipped ratio of single tokens: PPO, GRPO, DAPO."""

import torch

from .config import LossConfig
from .terms import PolicyLoss, Tokens


def clipped(tokens: Tokens, config: LossConfig) -> PolicyLoss:
    """−min(ρA, clip(ρ, 1−ε_low, 1+ε_high)·A), ρ = π/π_old.

    PPO (arXiv:1707.06347, eq. 7). With ε_low ≠ ε_high it is DAPO's clip-higher (arXiv:2503.14476, eq. 8). With
    ``clip_dual`` = c > 1, −cA bounds the loss of a token with A < 0 whose probability rose much (dual clip,
    arXiv:1912.09729, eq. 5).
    """
    ratio_N = torch.exp(tokens.log_ratios_N)
    plain_N = ratio_N * tokens.advantages_N
    bounded_N = ratio_N.clamp(1 - config.clip_low, 1 + config.clip_high) * tokens.advantages_N
    gain_N = torch.minimum(plain_N, bounded_N)
    cut_N = bounded_N < plain_N
    if config.clip_dual:
        floor_N = config.clip_dual * tokens.advantages_N
        beyond_N = (tokens.advantages_N < 0) & (gain_N < floor_N)
        gain_N = torch.where(beyond_N, floor_N, gain_N)
        cut_N = cut_N | beyond_N
    return PolicyLoss(-gain_N, ratio_N.detach(), cut_N.detach())
