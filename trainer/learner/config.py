"""Settings of low-rank adapters."""

from pydantic import Field

from ...verifiers.settings import Settings


class LoraConfig(Settings):
    """LoRA (arXiv:2106.09685). Checkpoints hold merged weights; engines get the adapters alone if they can."""

    rank: int = Field(0, ge=0)
    """Rank of the adapters. With 0 there are none, and all weights are trained."""
    alpha: int = Field(32, gt=0)
    """Adapters are scaled by ``alpha`` / ``rank``."""
    targets: list[str] = Field(default_factory=list)
    """Names of the layers that get an adapter, such as ``q_proj``. If empty, all linear layers except the output."""
