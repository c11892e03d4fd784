"""Settings of the losses, and the parts of them that they choose by name."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

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
"""Each is a function ``(Tokens, LossConfig) -> PolicyLoss``; see ``terms.py``."""

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
"""Each is a function ``(Tokens, sampler_N, ImportanceSamplingConfig) -> weights_N``."""

KL_ESTIMATORS: Plugins[Any] = Plugins("KL estimator", __package__, {"k1": "kl:k1", "k2": "kl:k2", "k3": "kl:k3"})
"""Each is a function ``(logprobs_N, reference_N) -> divergence_N``."""

NORMALIZATIONS: Plugins[Any] = Plugins(
    "loss normalization",
    __package__,
    {
        "token": "normalization:by_token",
        "sequence": "normalization:by_sequence",
        "constant": "normalization:by_constant",
    },
)
"""Each is a ``Normalization`` (``normalization.py``)."""

PREFERENCE_LOSSES: Plugins[Any] = Plugins(
    "preference loss",
    __package__,
    {"sigmoid": "preference:sigmoid", "sigmoid_norm": "preference:sigmoid_norm", "ipo": "preference:ipo"},
)
"""Each is a function ``(PairTerms, PreferenceConfig) -> loss_P``."""


class KlConfig(Settings):
    """KL penalty against the reference policy, which is the model after the warm start."""

    coef: float = Field(0.0, ge=0)
    """β, the weight of the penalty. With 0 no reference model is loaded."""
    estimator: Annotated[str, KL_ESTIMATORS.setting] = "k3"
    """Estimator of the divergence in the loss. With ``apply_to = "reward"`` it is always k1."""
    apply_to: Literal["loss", "reward"] = "loss"
    """``loss`` adds β·KL to each token's loss. ``reward`` lowers each token's advantage by β times the sum of the
    divergence from that token to the end of its sequence."""

    renamed: ClassVar[dict[str, str]] = {"coefficient": "coef", "estimate": "estimator", "inside": "apply_to"}


class ImportanceSamplingConfig(Settings):
    """Weights of tokens whose sampler differs from the trainer's policy because of stale weights or other kernels."""

    method: Annotated[str, IMPORTANCE_SAMPLING.setting] = "none"
    """``none`` computes the policy ratio against the sampler. The others compute it against the trainer's own policy
    and multiply each token's loss by w = π_trainer/π_sampler. ``tis`` bounds w from above. ``icepop`` sets w to 0 for
    tokens whose w is out of bounds; ``mis_sequence`` and ``mis_geometric`` do so for whole sequences whose product or
    geometric mean of w is out of bounds."""
    low: float = Field(0.5, ge=0)
    """Lower bound of w; ``tis`` ignores it."""
    high: float = Field(2.0, ge=1)
    """Upper bound of w."""

    renamed: ClassVar[dict[str, str]] = {"lowest": "low", "highest": "high"}


class LossConfig(Settings):
    """The loss of a policy step."""

    kind: Annotated[str, LOSSES.setting] = "clipped"
    """``clipped``: PPO, GRPO, DAPO. ``gspo``: the ratio of whole sequences. ``cispo``: REINFORCE with a bounded
    weight. ``supervised``: cross-entropy times the advantage."""
    clip_low: float = Field(0.2, gt=0, le=1)
    """The ratio is clipped below at 1 − ``clip_low``."""
    clip_high: float = Field(0.2, gt=0)
    """The ratio is clipped above at 1 + ``clip_high``."""
    clip_dual: float = Field(0.0, ge=0)
    """Factor c of the dual clip, above 1 + ``clip_high``; 0 turns it off."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Settings for your own loss, which reads them as ``config.params``."""
    normalize: Annotated[str, NORMALIZATIONS.setting] = "token"
    """Divisor of the sum over tokens. ``token``: the number of trained tokens in the step. ``sequence``: the tokens of
    each sequence, then the number of sequences. ``constant``: the number of sequences times
    ``rollout.sampling.max_tokens``."""
    importance_sampling: ImportanceSamplingConfig = ImportanceSamplingConfig()
    """Importance-sampling weights for tokens that another policy sampled."""
    kl: KlConfig = KlConfig()
    """KL penalty against the reference policy."""
    entropy: float = Field(0.0, ge=0)
    """Bonus per nat of a token's entropy; 0 turns it off."""
    overlong: Literal["keep", "filter"] = "keep"
    """``filter`` leaves attempts that hit a token limit out of the loss; their rewards still count in the advantages of
    their group (DAPO)."""

    renamed: ClassVar[dict[str, str]] = {"correction": "importance_sampling", "reference": "kl"}


class PreferenceConfig(Settings):
    """The loss of preference pairs."""

    loss: Annotated[str, PREFERENCE_LOSSES.setting] = "sigmoid"
    """``sigmoid``: DPO. ``sigmoid_norm``: DPO with the mean instead of the sum over a reply's tokens. ``ipo``: squared
    distance of the margin per token from 1/(2 · ``beta``)."""
    beta: float = Field(0.1, gt=0)
    """β. A lower value lets the policy go farther from the reference model."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Assumed share of pairs whose replies are the wrong way round; ``ipo`` has none."""

    @model_validator(mode="after")
    def _consistent(self) -> "PreferenceConfig":
        if self.loss == "ipo" and self.label_smoothing:
            raise ValueError(f"loss = 'ipo' has no label_smoothing, found {self.label_smoothing:g}: leave it out")
        return self
