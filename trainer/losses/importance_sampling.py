"""Weights for tokens that another policy sampled than the one that is trained: importance sampling, bounded.

w = π_old/π_sampler of a token: both have the same weights where sampler and trainer differ by kernels alone, and not
where the sampler's weights are older. All weights are detached; the loss of each token is multiplied by its weight.
"""

import torch
from torch import Tensor

from .terms import Tokens


def truncated(tokens: Tokens, sampler_N: Tensor, highest: float) -> Tensor:
    """min(w, C): TIS, truncated importance sampling (Ionides 2008; Yao et al. 2025)."""
    return _ratio(tokens, sampler_N).clamp(max=highest)


def masked(tokens: Tokens, sampler_N: Tensor, lowest: float, highest: float) -> Tensor:
    """The weight w where it lies within the bounds, else 0: IcePop (Zhao et al. 2025), the MIS of single tokens."""
    ratio_N = _ratio(tokens, sampler_N)
    return ratio_N * _within(ratio_N, lowest, highest)


def masked_sequence(tokens: Tokens, sampler_N: Tensor, lowest: float, highest: float) -> Tensor:
    """The weight w of each token; 0 for all of a sequence whose Π w is out of bounds, which long ones soon are."""
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.sum_by_sequence(log_N)).detach(), lowest, highest)


def masked_geometric(tokens: Tokens, sampler_N: Tensor, lowest: float, highest: float) -> Tensor:
    """The weight w; 0 for all tokens of a sequence whose geometric mean of w, at any length, is out of bounds."""
    log_N = tokens.old_N - sampler_N
    return torch.exp(log_N).detach() * _within(torch.exp(tokens.mean_by_sequence(log_N)).detach(), lowest, highest)


def _ratio(tokens: Tokens, sampler_N: Tensor) -> Tensor:
    return torch.exp(tokens.old_N - sampler_N).detach()


def _within(values_N: Tensor, lowest: float, highest: float) -> Tensor:
    return ((values_N >= lowest) & (values_N <= highest)).to(values_N.dtype)
