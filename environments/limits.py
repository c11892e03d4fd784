"""How far an episode may go; each limit has its stop reason."""

from pydantic import Field

from ..verifiers.settings import Settings


class Limits(Settings):
    """What an episode may use up. Reaching one ends the episode in order: it is scored as it stands."""

    turns: int = Field(16, ge=1)
    """Replies of one agent."""
    tokens: int = Field(1 << 20, ge=1)
    """Sampled tokens of one agent, over all its replies."""
    tool_calls: int = Field(64, ge=0)
    """Tool calls of the whole episode."""
    seconds: float = Field(600.0, gt=0)
    """Wall-clock time of ``setup`` and ``run``; ``finish`` and ``close`` may each take as long again."""
