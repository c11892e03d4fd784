"""The objective of a policy step: policy loss, importance sampling, KL penalty and entropy bonus, combined."""

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
    """Values of each token, all of shape [N]; all except the loss are detached.

    Attributes:
        loss: each token's loss, before it is weighted and summed.
        ratio: π/π_old.
        clipped: whether the clip removed the token's gradient.
        weight: the importance-sampling weight; 1 without importance sampling.
        kl: the divergence from the reference by the configured estimator; 0 without a reference.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor
    weight: Tensor
    kl: Tensor


class Objective:
    """The configured loss of single tokens.

    Attributes:
        needs_reference: whether the loss uses the reference policy's logprobs.
        needs_entropy: whether the loss uses the entropy, which then needs a gradient.
        needs_all: whether samples whose advantages are all 0 have a gradient, too.

    Raises:
        ConfigError: Settings contradict each other.
    """

    def __init__(self, config: LossConfig) -> None:
        weighting, kl = config.importance_sampling, config.kl
        if config.clip_dual and config.clip_dual <= 1 + config.clip_high:
            raise ConfigError(
                f"trainer.loss.clip_dual must be above 1 + clip_high = {1 + config.clip_high:g}, or 0 to turn it off; "
                f"found {config.clip_dual:g}"
            )
        if weighting.low > weighting.high:
            raise ConfigError(
                f"trainer.loss.importance_sampling: low {weighting.low:g} is above high {weighting.high:g}; swap them"
            )
        self._config = config
        self._policy_loss: Callable[[Tokens, LossConfig], PolicyLoss] = LOSSES.load(config.kind)
        self._weigh: Callable[..., Tensor] = IMPORTANCE_SAMPLING.load(weighting.method)
        self._estimate: Callable[[Tensor, Tensor], Tensor] = KL_ESTIMATORS.load(kl.estimator)
        self.needs_reference = kl.coef > 0
        self.needs_entropy = config.entropy > 0
        self.needs_all = self.needs_reference or self.needs_entropy

    def __call__(self, tokens: Tokens, entropy_N: Tensor, reference_N: Tensor | None = None) -> Terms:
        """Compute the loss of each token.

        Args:
            tokens: the trained tokens; their ``old_N`` are the sampler's logprobs.
            entropy_N: the entropy of the distribution that each token was drawn from, in nats.
            reference_N: the reference policy's logprobs; None unless ``needs_reference``.
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
