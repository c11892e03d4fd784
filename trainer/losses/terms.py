"""The input and output of a policy loss: flat tensors, one value for each trained token."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""Largest logarithm of a ratio of probabilities that is exponentiated.

In float32, e^88.8 is infinite, and the squares in the gradient's norm overflow long before. e^20 = 4.9e8 leaves room
for advantages, sums over tokens, and those squares; ratios of ordinary training are far below.
"""


class _Bounded(torch.autograd.Function):
    """min(x, MAX_LOG_RATIO) with the gradient of x, so that a token beyond the bound is still pushed back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clamp(max=MAX_LOG_RATIO)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def bounded(log_ratios_N: Tensor) -> Tensor:
    """Bound log ratios by ``MAX_LOG_RATIO``, also infinite ones; the gradient passes unchanged."""
    values_N: Tensor = _Bounded.apply(log_ratios_N)  # type: ignore[no-untyped-call]
    return values_N


@dataclass(frozen=True, eq=False)
class Tokens:
    """The N trained tokens of one micro-batch, which always holds whole sequences.

    Attributes:
        logprobs_N: the trainer's logprobs, with gradient.
        old_N: the logprobs of the policy in the ratio's denominator.
        advantages_N: the advantage of each token.
        sequences_N: int64, the index of the token's sequence; the tokens of a sequence are contiguous.
        extra_N: further values by name, for losses that need them (a teacher's logprobs, say); NaN where unknown.
    """

    logprobs_N: Tensor
    old_N: Tensor
    advantages_N: Tensor
    sequences_N: Tensor
    extra_N: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def log_ratios_N(self) -> Tensor:
        """Log π/π_old, at most ``MAX_LOG_RATIO``, with gradient."""
        return bounded(self.logprobs_N - self.old_N)

    def mean_by_sequence(self, values_N: Tensor) -> Tensor:
        """Replace each token's value by the mean over its sequence."""
        count = int(self.sequences_N.max()) + 1 if self.sequences_N.numel() else 0
        sums_S = values_N.new_zeros(count).index_add(0, self.sequences_N, values_N)
        lengths_S = torch.bincount(self.sequences_N, minlength=count).to(values_N.dtype)
        return (sums_S / lengths_S.clamp(min=1))[self.sequences_N]

    def sum_by_sequence(self, values_N: Tensor) -> Tensor:
        """Replace each token's value by the sum over its sequence."""
        count = int(self.sequences_N.max()) + 1 if self.sequences_N.numel() else 0
        return values_N.new_zeros(count).index_add(0, self.sequences_N, values_N)[self.sequences_N]

    def sum_from_here(self, values_N: Tensor) -> Tensor:
        """Replace each token's value by the sum from that token to the end of its sequence."""
        reversed_N = values_N.double().flip(0).cumsum(0).flip(0)  # runs on into the sequences that follow
        last_N = torch.ones_like(self.sequences_N, dtype=torch.bool)
        last_N[:-1] = self.sequences_N[:-1] != self.sequences_N[1:]
        ends = last_N.nonzero()[:, 0]
        piece_N = torch.searchsorted(ends, torch.arange(values_N.numel(), device=values_N.device))
        following_N = torch.cat([reversed_N, reversed_N.new_zeros(1)])[ends[piece_N] + 1]
        return (reversed_N - following_N).to(values_N.dtype)


class PolicyLoss(NamedTuple):
    """Values of each token, all of shape [N].

    Attributes:
        loss: each token's loss, before it is weighted and summed.
        ratio: π/π_old, at most e^``MAX_LOG_RATIO``, detached.
        clipped: whether the clip removed the token's gradient, detached.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor
