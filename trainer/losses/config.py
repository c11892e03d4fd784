"""Settings of what is minimised."""

from typing import Literal

from pydantic import Field

from ...verifiers.settings import Settings


class ReferenceConfig(Settings):
    """How far the policy may go from the one that it was after the warm start."""

    coefficient: float = Field(0.0, ge=0)
    """β, what the divergence costs; 0 needs no reference model."""
    estimate: Literal["k1", "k2", "k3"] = "k3"
    """Which estimate of the divergence is added to the loss; in rewards it is k1."""
    inside: Literal["loss", "reward"] = "loss"
    """``loss``: β·KL is added to each token's loss. ``reward``: each token's advantage is lowered by β times the
    divergence from there to the end of its sequence."""


class CorrectionConfig(Settings):
    """What is done about tokens whose sampler was another policy than the trainer's: stale weights, other kernels."""

    method: Literal["none", "tis", "icepop", "mis_sequence", "mis_geometric"] = "none"
    """``none``: the ratio is taken against the sampler. Else against the trainer's own policy, and each loss is
    multiplied by w = π_trainer/π_sampler: bounded above (``tis``), or 0 where out of bounds: token by token
    (``icepop``), or the whole sequence by its product (``mis_sequence``) or geometric mean (``mis_geometric``)."""
    lowest: float = Field(0.5, ge=0)
    """Lower bound of w; ``tis`` has none."""
    highest: float = Field(2.0, ge=1)
    """Upper bound of w."""


class LossConfig(Settings):
    """What is minimised."""

    kind: Literal["clipped", "gspo", "cispo", "supervised"] = "clipped"
    """``clipped``: PPO, GRPO, DAPO. ``gspo``: the ratio of whole sequences. ``cispo``: REINFORCE with a bounded
    weight. ``supervised``: cross-entropy times the advantage."""
    clip_low: float = Field(0.2, gt=0, le=1)
    """ε below 1 of the ratio."""
    clip_high: float = Field(0.2, gt=0)
    """ε above 1 of the ratio."""
    clip_dual: float = Field(0.0, ge=0)
    """c of the dual clip, above 1; 0 is off."""
    normalize: Literal["token", "sequence", "constant"] = "token"
    """What the sum is divided by: all trained tokens of the step; each sequence's own, then their number; or their
    number times ``rollout.sampling.max_tokens``."""
    correction: CorrectionConfig = CorrectionConfig()
    """Tokens that another policy sampled."""
    reference: ReferenceConfig = ReferenceConfig()
    """Divergence from a reference policy."""
    entropy: float = Field(0.0, ge=0)
    """What each nat of a token's entropy earns."""
    overlong: Literal["keep", "filter"] = "keep"
    """``filter``: attempts that ran into a limit of tokens are compared with the others, and not trained on (DAPO)."""
