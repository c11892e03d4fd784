"""Bounded importance-sampling weights for tokens whose sampler differs from the trained policy.

w = π_old/π_sampler of a token. The two differ because the sampler has other kernels, older weights, or both. All w are
detached, and the loss of each token is multiplied by its w.
"""

import torch
from torch import Tensor

from .config import ImportanceSamplingConfig
from .terms import Tokens


def none(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """1 for every token: the policy ratio is computed against the sampler instead."""
    return torch.ones_like(sampler_N)


def truncated(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """min(w, high): TIS, truncated importance sampling (Ionides 2008; Yao et al. 2025)."""
    return _ratio(tokens, sampler_N).clamp(max=config.high)


def masked(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w if it lies within the bounds, else 0: IcePop (Zhao et al. 2025), masked by single tokens."""
    ratio_N = _ratio(tokens, sampler_N)
    return ratio_N * _within(ratio_N, config)


def masked_sequence(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w of each token, or 0 for a whole sequence whose product of w is out of bounds.

    The product leaves the bounds sooner the longer a sequence is; ``masked_geometric`` does not depend on the length.
    """
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.sum_by_sequence(log_N)).detach(), config)


def masked_geometric(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w of each token, or 0 for a whole sequence whose geometric mean of w is out of bounds."""
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.mean_by_sequence(log_N)).detach(), config)


def _ratio(tokens: Tokens, sampler_N: Tensor) -> Tensor:
    return torch.exp(tokens.old_N - sampler_N).detach()


def _within(values_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    return ((values_N >= config.low) & (values_N <= config.high)).to(values_N.dtype)
