"""Bounded importance-sampling weights for tokens that another policy than the trained one sampled.

w = π_old/π_sampler of a token: both have the same weights where sampler and trainer differ by kernels alone, and not
where the sampler's weights are older. All weights are detached; the loss of each token is multiplied by its weight.
"""

import torch
from torch import Tensor

from .config import ImportanceSamplingConfig
from .terms import Tokens


def none(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """1 for every token: the policy's ratio is taken against the sampler instead."""
    return torch.ones_like(sampler_N)


def truncated(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """min(w, high): TIS, truncated importance sampling (Ionides 2008; Yao et al. 2025)."""
    return _ratio(tokens, sampler_N).clamp(max=config.high)


def masked(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w where it lies within the bounds, else 0: IcePop (Zhao et al. 2025), the MIS of single tokens."""
    ratio_N = _ratio(tokens, sampler_N)
    return ratio_N * _within(ratio_N, config)


def masked_sequence(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w of each token; 0 for all of a sequence whose Π w is out of bounds, which long ones soon are."""
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.sum_by_sequence(log_N)).detach(), config)


def masked_geometric(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w; 0 for all tokens of a sequence whose geometric mean of w, at any length, is out of bounds."""
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.mean_by_sequence(log_N)).detach(), config)


def _ratio(tokens: Tokens, sampler_N: Tensor) -> Tensor:
    return torch.exp(tokens.old_N - sampler_N).detach()


def _within(values_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    return ((values_N >= config.low) & (values_N <= config.high)).to(values_N.dtype)
