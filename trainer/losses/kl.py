"""Estimates, token by token, of the Kullback-Leibler divergence between two policies (Schulman 2020).

d = log π_other − log π, for tokens drawn from π. All have the divergence KL(π‖π_other) as their mean, k2 nearly.
"""

import torch
from torch import Tensor


def k1(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """−d: without bias, of high variance, negative at times. As a loss its gradient has mean 0: use it in rewards."""
    return logprobs_N - other_N


def k2(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """d²/2: its gradient as a loss is that of the divergence."""
    return (other_N - logprobs_N).square() / 2


def k3(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """e^d − d − 1: never negative, without bias, of low variance; GRPO's (arXiv:2402.03300, eq. 4)."""
    difference_N = other_N - logprobs_N
    return torch.expm1(difference_N) - difference_N


def sampler_divergence(logprobs_N: Tensor, sampler_N: Tensor) -> Tensor:
    """k3 of KL(π_sampler‖π), for tokens drawn from the sampler. Shape [N], float64.

    In float32 rounding alone would make it negative where the two agree.
    """
    return k3(sampler_N.double(), logprobs_N.double())
