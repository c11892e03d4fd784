"""The objective that is minimised: policy loss, importance sampling, KL penalty and entropy bonus, put together."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...verifiers.errors import ConfigError
from .config import IMPORTANCE_SAMPLING, KL_ESTIMATORS, LOSSES, LossConfig
from .kl import k1
from .terms import PolicyLoss, Tokens


class Terms(NamedTuple):
    """Per-token values, all of shape [N]; detached, except the loss.

    Attributes:
        loss: to be weighted and summed.
        ratio: π/π_old.
        clipped: whether the clip took the gradient away.
        weight: of importance sampling; 1 without it.
        kl: divergence from the reference, by the configured estimator; 0 without one.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor
    weight: Tensor
    kl: Tensor


class Objective:
    """The configured loss of single tokens.

    Attributes:
        needs_reference: whether the reference policy's logprobs are used.
        needs_entropy: whether the entropy takes part, and so needs a gradient.
        needs_all: whether a sample whose advantages are all 0 has a gradient, too.

    Raises:
        ConfigError: settings contradict each other.
    """

    def __init__(self, config: LossConfig) -> None:
        weighting, kl = config.importance_sampling, config.kl
        if config.clip_dual and config.clip_dual <= 1 + config.clip_high:
            raise ConfigError(
                f"trainer.loss.clip_dual is above 1 + clip_high = {1 + config.clip_high:g}, or 0 for none; "
                f"found {config.clip_dual:g}"
            )
        if weighting.low > weighting.high:
            raise ConfigError(
                f"trainer.loss.importance_sampling: low {weighting.low:g} is above high {weighting.high:g}; "
                "exchange the two"
            )
        self._config = config
        self._policy_loss: Callable[[Tokens, LossConfig], PolicyLoss] = LOSSES.load(config.kind)
        self._weigh: Callable[..., Tensor] = IMPORTANCE_SAMPLING.load(weighting.method)
        self._estimate: Callable[[Tensor, Tensor], Tensor] = KL_ESTIMATORS.load(kl.estimator)
        self.needs_reference = kl.coef > 0
        self.needs_entropy = config.entropy > 0
        self.needs_all = self.needs_reference or self.needs_entropy

    def __call__(self, tokens: Tokens, entropy_N: Tensor, reference_N: Tensor | None = None) -> Terms:
        """The loss of each of ``tokens``, whose ``old_N`` are the sampler's logprobs.

        Args:
            tokens: the trained tokens.
            entropy_N: of the distribution that each token was drawn from.
            reference_N: the reference policy's logprobs, where they are needed.
        """
        config = self._config
        current_N, sampler_N = tokens.logprobs_N.detach(), tokens.old_N
        if config.importance_sampling.method != "none":
            tokens = replace(tokens, old_N=current_N)
        weight_N = self._weigh(tokens, sampler_N, config.importance_sampling)
        kl_N = torch.zeros_like(current_N)
        extra_N = -config.entropy * entropy_N if self.needs_entropy else torch.zeros_like(current_N)
        if reference_N is not None and config.kl.apply_to == "reward":
            kl_N = k1(current_N, reference_N)
            cost_N = config.kl.coef * tokens.sum_from_here(kl_N)
            tokens = replace(tokens, advantages_N=tokens.advantages_N - cost_N)
        elif reference_N is not None:
            estimate_N = self._estimate(tokens.logprobs_N, reference_N)
            extra_N = extra_N + config.kl.coef * estimate_N
            kl_N = estimate_N.detach()
        policy = self._policy_loss(tokens, config)
        return Terms(policy.loss * weight_N + extra_N, policy.ratio, policy.clipped, weight_N, kl_N)
