"""Metrics of one policy step's loss, summed over its micro-batches and ranks."""

import torch
from torch import Tensor

from ..losses.kl import sampler_divergence
from ..losses.objective import Terms
from .packing.micro_batch import MicroBatch
from .sharded.sharding import Ranks

EMPTY = {
    "mismatch_kl": 0.0,
    "ratio": 1.0,
    "clip_fraction": 0.0,
    "entropy": 0.0,
    "importance_weight": 1.0,
    "importance_masked": 0.0,
    "reference_kl": 0.0,
}
"""The metrics of a step in which no token was computed."""


class LossMetrics:
    """Sums over the computed tokens of a step."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._tokens = 0
        self._loss = 0.0
        self._widest = 0.0

    def add(self, micro: MicroBatch, logprobs_N: Tensor, entropy_N: Tensor, terms: Terms) -> None:
        """Add a micro-batch. All arguments except ``terms.loss`` are detached."""
        self._loss += float((terms.loss.detach() * micro.weights_N).sum())
        self._tokens += int(micro.rows_N.numel())
        values = {
            "mismatch_kl": sampler_divergence(logprobs_N, micro.logprobs_N),
            "ratio": terms.ratio,
            "clip_fraction": terms.clipped.float(),
            "entropy": entropy_N,
            "importance_weight": terms.weight,
            "importance_masked": (terms.weight == 0).float(),
            "reference_kl": terms.kl,
        }
        for name, value_N in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value_N.sum())
        if logprobs_N.numel():
            self._widest = max(self._widest, float(torch.max((logprobs_N - micro.logprobs_N).abs())))

    def reduced(self, ranks: Ranks) -> "LossMetrics":
        """Return the sums over all ranks."""
        total = LossMetrics()
        whole = ranks.sum(
            {**{f"sum/{name}": self._sums.get(name, 0.0) for name in EMPTY}, "loss": self._loss, "tokens": self._tokens}
        )
        total._sums = {name: whole[f"sum/{name}"] for name in EMPTY}
        total._loss, total._tokens = whole["loss"], int(whole["tokens"])
        total._widest = ranks.max({"widest": self._widest})["widest"]
        return total

    def metrics(self, divisor: float = 1.0) -> dict[str, float]:
        """Return the loss, the means over the computed tokens, and the largest logprob difference to the sampler.

        If no token was computed, the means are those of ``EMPTY``.

        Args:
            divisor: of the summed loss.
        """
        means = {name: total / self._tokens for name, total in self._sums.items()} if self._tokens else EMPTY
        return {"loss": self._loss / divisor, **means, "mismatch_max": self._widest}
