"""Settings of the loss, and the losses and corrections that they choose by name."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...verifiers.plugins import Plugins
from ...verifiers.settings import Settings

LOSSES: Plugins[Any] = Plugins(
    "policy loss",
    __package__,
    {
        "clipped": "clipped:clipped",
        "gspo": "gspo:gspo",
        "cispo": "cispo:cispo",
        "supervised": "supervised:supervised",
    },
)
"""``(Tokens, LossConfig) -> PolicyLoss``; see ``terms.py``."""

IMPORTANCE_SAMPLING: Plugins[Any] = Plugins(
    "importance sampling method",
    __package__,
    {
        "none": "importance_sampling:none",
        "tis": "importance_sampling:truncated",
        "icepop": "importance_sampling:masked",
        "mis_sequence": "importance_sampling:masked_sequence",
        "mis_geometric": "importance_sampling:masked_geometric",
    },
)
"""``(Tokens, sampler_N, ImportanceSamplingConfig) -> weights_N``."""

KL_ESTIMATORS: Plugins[Any] = Plugins("KL estimator", __package__, {"k1": "kl:k1", "k2": "kl:k2", "k3": "kl:k3"})
"""``(logprobs_N, reference_N) -> divergence_N``."""

NORMALIZATIONS: Plugins[Any] = Plugins(
    "loss normalization",
    __package__,
    {
        "token": "normalization:by_token",
        "sequence": "normalization:by_sequence",
        "constant": "normalization:by_constant",
    },
)
"""``(lengths_S, longest) -> weights_S``."""


class KlConfig(Settings):
    """KL penalty against the reference policy, which is the model after the warm start."""

    coef: float = Field(0.0, ge=0)
    """β, the weight of the penalty; 0 needs no reference model."""
    estimator: Annotated[str, KL_ESTIMATORS.setting] = "k3"
    """Estimator of the divergence that is added to the loss: k1, k2 or k3. In rewards it is always k1."""
    apply_to: Literal["loss", "reward"] = "loss"
    """``loss`` adds β·KL to each token's loss. ``reward`` lowers each token's advantage by β times the divergence from
    there to the end of its sequence."""

    renamed: ClassVar[dict[str, str]] = {"coefficient": "coef", "estimate": "estimator", "inside": "apply_to"}


class ImportanceSamplingConfig(Settings):
    """Weights for tokens that another policy than the trainer's sampled: stale weights, or other kernels."""

    method: Annotated[str, IMPORTANCE_SAMPLING.setting] = "none"
    """``none`` takes the ratio against the sampler. All others take it against the trainer's own policy and multiply
    each token's loss by w = π_trainer/π_sampler: bounded above (``tis``), or 0 where it is out of bounds: by token
    (``icepop``), or for a whole sequence by its product (``mis_sequence``) or geometric mean (``mis_geometric``)."""
    low: float = Field(0.5, ge=0)
    """Lower bound of w; ``tis`` has none."""
    high: float = Field(2.0, ge=1)
    """Upper bound of w."""

    renamed: ClassVar[dict[str, str]] = {"lowest": "low", "highest": "high"}


class LossConfig(Settings):
    """The loss that is minimised."""

    kind: Annotated[str, LOSSES.setting] = "clipped"
    """``clipped``: PPO, GRPO, DAPO. ``gspo``: the ratio of whole sequences. ``cispo``: REINFORCE with a bounded
    weight. ``supervised``: cross-entropy times the advantage. Or your own, by ``module:name``."""
    clip_low: float = Field(0.2, gt=0, le=1)
    """ε below 1 of the ratio."""
    clip_high: float = Field(0.2, gt=0)
    """ε above 1 of the ratio."""
    clip_dual: float = Field(0.0, ge=0)
    """c of the dual clip, above 1; 0 is off."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Settings of your own loss, which reads them from its config."""
    normalize: Annotated[str, NORMALIZATIONS.setting] = "token"
    """Divisor of the sum over tokens: ``token``, all trained tokens of the step; ``sequence``, each sequence's own
    tokens, then the number of sequences; ``constant``, that number times ``rollout.sampling.max_tokens``."""
    importance_sampling: ImportanceSamplingConfig = ImportanceSamplingConfig()
    """Off-policy weights."""
    kl: KlConfig = KlConfig()
    """KL penalty against a reference policy."""
    entropy: float = Field(0.0, ge=0)
    """Bonus for each nat of a token's entropy."""
    overlong: Literal["keep", "filter"] = "keep"
    """``filter`` compares attempts that ran into a token limit with the others, and does not train on them (DAPO)."""

    renamed: ClassVar[dict[str, str]] = {"correction": "importance_sampling", "reference": "kl"}
