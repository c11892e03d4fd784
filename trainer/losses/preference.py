"""Losses of preference pairs: how much more the policy prefers the chosen reply than the reference model does."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .config import PREFERENCE_LOSSES, PreferenceConfig


@dataclass(frozen=True, eq=False)
class PairTerms:
    """The P pairs of a step; all fields are float64 of shape [P].

    Attributes:
        chosen_P: log π/π_ref of the chosen reply, summed over its trained tokens, with gradient.
        rejected_P: the same of the rejected reply.
        chosen_tokens_P: the number of trained tokens of the chosen reply.
        rejected_tokens_P: the same of the rejected reply.
    """

    chosen_P: Tensor
    rejected_P: Tensor
    chosen_tokens_P: Tensor
    rejected_tokens_P: Tensor

    @property
    def margins_P(self) -> Tensor:
        """How much more the policy prefers the chosen reply than the reference does, in nats."""
        return self.chosen_P - self.rejected_P

    @property
    def margins_per_token_P(self) -> Tensor:
        """The same with each reply's mean over its tokens instead of the sum."""
        return self.chosen_P / self.chosen_tokens_P - self.rejected_P / self.rejected_tokens_P


def sigmoid(pairs: PairTerms, config: PreferenceConfig) -> Tensor:
    """−(1−ε)·log σ(β·m) − ε·log σ(−β·m) with the margin m (DPO, arXiv:2305.18290, eq. 7; ε is label smoothing)."""
    return _smoothed(config.beta * pairs.margins_P, config.label_smoothing)


def sigmoid_norm(pairs: PairTerms, config: PreferenceConfig) -> Tensor:
    """The same with the margin per token, so that long replies do not weigh more (Tülu 3, arXiv:2411.15124, eq. 6)."""
    return _smoothed(config.beta * pairs.margins_per_token_P, config.label_smoothing)


def ipo(pairs: PairTerms, config: PreferenceConfig) -> Tensor:
    """(m − 1/(2β))² with the margin per token m (IPO, arXiv:2310.12036, eq. 17)."""
    return (pairs.margins_per_token_P - 1 / (2 * config.beta)).square()


def _smoothed(logits_P: Tensor, smoothing: float) -> Tensor:
    return -(1 - smoothing) * logsigmoid(logits_P) - smoothing * logsigmoid(-logits_P)


@dataclass(frozen=True, eq=False)
class Preference:
    """The loss of a step's pairs, with its derivatives and metrics.

    Attributes:
        metrics: the mean loss and the figures that are usual for DPO.
        chosen_P: the derivative of the mean loss by each chosen reply's summed logprob, float64 [P].
        rejected_P: the same of the rejected replies.
    """

    metrics: dict[str, float]
    chosen_P: Tensor
    rejected_P: Tensor

    @classmethod
    def of(cls, pairs: PairTerms, config: PreferenceConfig) -> "Preference":
        """Compute the configured loss.

        Its metrics are the rewards β·log π/π_ref of both replies (``rewards/chosen``, ``rewards/rejected``), the mean
        difference (``rewards/margins``), the share of pairs in which it is positive (``rewards/accuracies``), and
        ``reference_kl``: the mean of log π_ref/π a token. That is KL(π_ref‖π) if the reference model sampled the
        replies.
        """
        chosen, rejected = leaves = [one.detach().requires_grad_() for one in (pairs.chosen_P, pairs.rejected_P)]
        terms = PairTerms(chosen, rejected, pairs.chosen_tokens_P, pairs.rejected_tokens_P)
        loss_P = PREFERENCE_LOSSES.load(config.loss)(terms, config)
        loss = loss_P.mean()
        slopes = torch.autograd.grad(loss, leaves)
        chosen_P, rejected_P = (config.beta * leaf.detach() for leaf in leaves)
        tokens = float(pairs.chosen_tokens_P.sum() + pairs.rejected_tokens_P.sum())
        metrics = {
            "loss": float(loss.detach()),
            "rewards/chosen": float(chosen_P.mean()),
            "rewards/rejected": float(rejected_P.mean()),
            "rewards/margins": float((chosen_P - rejected_P).mean()),
            "rewards/accuracies": float((chosen_P > rejected_P).double().mean()),
            "reference_kl": -float(pairs.chosen_P.detach().sum() + pairs.rejected_P.detach().sum()) / tokens,
        }
        return cls(metrics, *slopes)
