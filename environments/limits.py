"""Limits on what an episode may use up; each has its stop reason."""

from pydantic import Field

from ..verifiers.settings import Settings


class Limits(Settings):
    """What an episode may use up. Reaching a limit ends the episode normally: it is scored as it stands."""

    turns: int = Field(16, ge=1)
    """Most replies of one agent."""
    tokens: int = Field(1 << 20, ge=1)
    """Most sampled tokens of one agent, over all its replies."""
    tool_calls: int = Field(64, ge=0)
    """Most tool calls in the whole episode."""
    result_characters: int = Field(50_000, ge=100)
    """Most characters of one tool's result; the middle of a longer one is cut out, and the model is told."""
    seconds: float = Field(600.0, gt=0)
    """Most seconds for ``setup`` and ``run`` together; ``finish`` and ``close`` may each take as long again."""
