"""Limits of an episode, each with its own stop reason."""

from pydantic import Field

from ..verifiers.settings import Settings


class Limits(Settings):
    """Limits of an episode. Reaching one ends the episode normally: it is scored as it stands."""

    turns: int = Field(16, ge=1)
    """The most replies of one agent."""
    tokens: int = Field(1 << 20, ge=1)
    """The most sampled tokens of one agent, over all its replies."""
    tool_calls: int = Field(64, ge=0)
    """The most tool calls in the whole episode."""
    result_characters: int = Field(50_000, ge=100)
    """The most characters of one tool's result; the middle of a longer one is cut out, and the model is told."""
    seconds: float = Field(600.0, gt=0)
    """The most seconds for ``setup`` and ``run`` together; ``finish`` and ``close`` may each take as long again."""
