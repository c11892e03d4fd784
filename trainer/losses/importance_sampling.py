"""Bounded importance-sampling weights for tokens whose sampler differs from the trained policy.

w = π_old/π_sampler of a token. The two differ because the sampler has other kernels, older weights, or both. All w are
detached, and the loss of each token is multiplied by its w.
"""

import torch
from torch import Tensor

from .config import ImportanceSamplingConfig
from .terms import Tokens, bounded


def none(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """1 for every token: the policy ratio is computed against the sampler instead."""
    return torch.ones_like(sampler_N)


def truncated(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """min(w, high): TIS, truncated importance sampling (Ionides 2008; Yao et al. 2025)."""
    return _weights(tokens, sampler_N).clamp(max=config.high)


def masked(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w if it lies within the bounds, else 0: IcePop (Zhao et al. 2025), masked by single tokens."""
    return _masked(tokens, sampler_N, (tokens.old_N - sampler_N).detach(), config)


def masked_sequence(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w of each token, or 0 for a whole sequence whose product of w is out of bounds.

    The product leaves the bounds sooner the longer a sequence is; ``masked_geometric`` does not depend on the length.
    """
    return _masked(tokens, sampler_N, tokens.sum_by_sequence((tokens.old_N - sampler_N).detach()), config)


def masked_geometric(tokens: Tokens, sampler_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """The weight w of each token, or 0 for a whole sequence whose geometric mean of w is out of bounds."""
    return _masked(tokens, sampler_N, tokens.mean_by_sequence((tokens.old_N - sampler_N).detach()), config)


def _weights(tokens: Tokens, sampler_N: Tensor) -> Tensor:
    """w, at most e^``MAX_LOG_RATIO``."""
    return torch.exp(bounded(tokens.old_N - sampler_N)).detach()


def _masked(tokens: Tokens, sampler_N: Tensor, log_tested_N: Tensor, config: ImportanceSamplingConfig) -> Tensor:
    """W where e^``log_tested_N`` is within the bounds, else 0. A w of infinity times 0 would be NaN."""
    tested_N, weights_N = torch.exp(log_tested_N), _weights(tokens, sampler_N)
    within_N = (tested_N >= config.low) & (tested_N <= config.high)
    return torch.where(within_N, weights_N, torch.zeros_like(weights_N))
