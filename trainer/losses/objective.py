"""What is minimised, put together: policy loss, correction, divergence from a reference, entropy."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...verifiers.errors import ConfigError
from . import importance_sampling as correction
from .cispo import cispo
from .clipped import clipped
from .config import LossConfig
from .gspo import gspo
from .kl import ESTIMATES, k1
from .supervised import supervised
from .terms import PolicyLoss, Tokens

LOSSES: dict[str, Callable[[Tokens, LossConfig], PolicyLoss]] = {
    "clipped": lambda tokens, config: clipped(tokens, config.clip_low, config.clip_high, config.clip_dual),
    "gspo": lambda tokens, config: gspo(tokens, config.clip_low, config.clip_high),
    "cispo": lambda tokens, config: cispo(tokens, config.clip_low, config.clip_high),
    "supervised": lambda tokens, config: supervised(tokens),
}
"""By the name that ``trainer.loss.kind`` takes."""

CORRECTIONS: dict[str, Callable[[Tokens, Tensor, float, float], Tensor]] = {
    "tis": lambda tokens, sampler_N, lowest, highest: correction.truncated(tokens, sampler_N, highest),
    "icepop": correction.masked,
    "mis_sequence": correction.masked_sequence,
    "mis_geometric": correction.masked_geometric,
}
"""By the name that ``trainer.loss.correction.method`` takes, ``none`` aside."""


class Terms(NamedTuple):
    """Per-token values, all of shape [N]; detached, but for the loss.

    Attributes:
        loss: to be weighted and summed.
        ratio: π/π_old.
        clipped: whether the clip took the gradient away.
        weight: of the correction; 1 without one.
        divergence: from the reference, by the configured estimate; 0 without one.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor
    weight: Tensor
    divergence: Tensor


class Objective:
    """The configured loss of single tokens.

    Attributes:
        needs_reference: whether the reference policy's logprobs are used.
        needs_entropy: whether the entropy takes part, and so needs a gradient.
        needs_all: whether also a sample whose advantages are all 0 has a gradient.

    Raises:
        ConfigError: settings that contradict each other.
    """

    def __init__(self, config: LossConfig) -> None:
        if config.clip_dual and config.clip_dual <= 1 + config.clip_high:
            raise ConfigError(
                f"trainer.loss.clip_dual is above 1 + clip_high = {1 + config.clip_high:g}, or 0 for none; "
                f"found {config.clip_dual:g}"
            )
        if config.correction.lowest > config.correction.highest:
            raise ConfigError(
                f"trainer.loss.correction: lowest {config.correction.lowest:g} is above highest "
                f"{config.correction.highest:g}; exchange the two"
            )
        self._config = config
        self.needs_reference = config.reference.coefficient > 0
        self.needs_entropy = config.entropy > 0
        self.needs_all = self.needs_reference or self.needs_entropy

    def __call__(self, tokens: Tokens, entropy_N: Tensor, reference_N: Tensor | None = None) -> Terms:
        """The loss of each of ``tokens``, whose ``old_N`` are the sampler's logprobs.

        Args:
            tokens: what is trained.
            entropy_N: of the distribution that each was drawn from.
            reference_N: the reference policy's logprobs, where it is needed.
        """
        config = self._config
        current_N, sampler_N = tokens.logprobs_N.detach(), tokens.old_N
        weight_N = torch.ones_like(current_N)
        divergence_N = torch.zeros_like(current_N)
        if config.correction.method != "none":
            tokens = replace(tokens, old_N=current_N)
            method = CORRECTIONS[config.correction.method]
            weight_N = method(tokens, sampler_N, config.correction.lowest, config.correction.highest)
        extra_N = -config.entropy * entropy_N if self.needs_entropy else torch.zeros_like(current_N)
        if reference_N is not None and config.reference.inside == "reward":
            divergence_N = k1(current_N, reference_N)
            cost_N = config.reference.coefficient * tokens.sum_from_here(divergence_N)
            tokens = replace(tokens, advantages_N=tokens.advantages_N - cost_N)
        elif reference_N is not None:
            estimate_N = ESTIMATES[config.reference.estimate](tokens.logprobs_N, reference_N)
            extra_N = extra_N + config.reference.coefficient * estimate_N
            divergence_N = estimate_N.detach()
        policy = LOSSES[config.kind](tokens, config)
        return Terms(policy.loss * weight_N + extra_N, policy.ratio, policy.clipped, weight_N, divergence_N)
