"""Settings of what is trained."""

from pydantic import Field

from ...verifiers.settings import Settings


class LoraConfig(Settings):
    """LoRA (arXiv:2106.09685); engines, checkpoints and exports get the merged weights."""

    rank: int = Field(0, ge=0)
    """Of the adapters; 0 trains all weights instead."""
    alpha: int = Field(32, gt=0)
    """Adapters are scaled by alpha / rank."""
    targets: list[str] = Field(default_factory=list)
    """Names of the layers that get one (``q_proj``); empty: every linear layer but the output."""
