"""Policy losses over flat tensors: one value for each trained token, summed and normalised by the caller."""

from typing import NamedTuple

import torch
from torch import Tensor


class PolicyLoss(NamedTuple):
    """Per-token values, all of shape [N].

    Attributes:
        loss: to be summed and divided by the global number of trained tokens.
        ratio: π/π_old, detached.
        clipped: whether the clip took the gradient away, detached.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor


def clipped_policy_loss(
    logprobs_N: Tensor, old_N: Tensor, advantages_N: Tensor, clip_low: float, clip_high: float
) -> PolicyLoss:
    """−min(ρA, clip(ρ, 1−ε_low, 1+ε_high)·A), ρ = π/π_old (PPO, Schulman et al. 2017, eq. 7).

    Args:
        logprobs_N: the trainer's, with gradient.
        old_N: the sampler's own.
        advantages_N: one for each token.
        clip_low: ε below 1.
        clip_high: ε above 1.
    """
    ratio_N = torch.exp(logprobs_N - old_N)
    plain_N = ratio_N * advantages_N
    clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantages_N
    return PolicyLoss(-torch.minimum(plain_N, clipped_N), ratio_N.detach(), (clipped_N < plain_N).detach())


def kl_estimate(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """Schulman's k3 = e^d − d − 1 with d = log π − log π_other, for tokens drawn from π_other. Shape [N], float64.

    In float32 rounding alone would make it negative where the two agree.
    """
    difference_N = (logprobs_N - other_N).double()
    return torch.expm1(difference_N) - difference_N
