"""Estimators of the Kullback-Leibler divergence between two policies, one value for each token (Schulman 2020).

d = log π_other − log π, for tokens drawn from π. The mean of k1 and k3 is KL(π‖π_other); that of k2 is close to it.
"""

import torch
from torch import Tensor

from .terms import bounded


def k1(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """−d: unbiased, of high variance, sometimes negative. Its gradient as a loss has mean 0, so use it in rewards."""
    return logprobs_N - other_N


def k2(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """d²/2: its gradient as a loss is, in the mean, the gradient of the divergence."""
    return (other_N - logprobs_N).square() / 2


def k3(logprobs_N: Tensor, other_N: Tensor) -> Tensor:
    """e^d − d − 1: never negative, unbiased, of low variance; the estimator of GRPO (arXiv:2402.03300, eq. 4).

    d is bounded by ``MAX_LOG_RATIO``.
    """
    difference_N = bounded(other_N - logprobs_N)
    return torch.expm1(difference_N) - difference_N


def sampler_divergence(logprobs_N: Tensor, sampler_N: Tensor) -> Tensor:
    """k3 of KL(π_sampler‖π), for tokens drawn from the sampler. Shape [N], float64.

    In float32, rounding would make it negative where the two policies agree.
    """
    return k3(sampler_N.double(), logprobs_N.double())
