"""Settings of low-rank adapters."""

from pydantic import Field

from ...verifiers.settings import Settings


class LoraConfig(Settings):
    """LoRA (arXiv:2106.09685). Engines and checkpoints get the merged weights."""

    rank: int = Field(0, ge=0)
    """Rank of the adapters; 0 trains all weights instead."""
    alpha: int = Field(32, gt=0)
    """Adapters are scaled by ``alpha`` / ``rank``."""
    targets: list[str] = Field(default_factory=list)
    """Names of the layers that get an adapter (``q_proj``); empty for every linear layer except the output."""
