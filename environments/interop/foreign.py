"""What all adapters share: settings, what a success is, and text that can be shown to a policy and stored."""

import json
import math
from typing import Any

from pydantic import Field

from ...verifiers.errors import EnvironmentFault
from ...verifiers.rubric import Rubric
from ...verifiers.text.think import split_reasoning
from ..environment import Environment, EnvironmentConfig
from ..episode import Episode
from ..tools import shortened


class ForeignConfig(EnvironmentConfig):
    """Settings of every adapter."""

    success: float | None = None
    """Least total reward that is a success. Without it there is no accuracy, only the mean reward."""
    deadline: float = Field(120.0, gt=0)
    """Most seconds for one answer of the other side. If it takes longer, the attempt is not scored."""


class Foreign(Environment):
    """An environment whose rewards come from the other side, as parts that the episode gives."""

    Config = ForeignConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rubric = Rubric(success=self.config.success).with_methods(self)

    def step_reward(self, episode: Episode, reward: Any) -> None:
        """Add the reward of a step.

        Raises:
            EnvironmentFault: it is not a finite number.
        """
        episode.step_reward("reward", as_number(reward, f"the reward of a step of {self.label}"))
        episode.artifacts["steps"] = episode.artifacts.get("steps", 0) + 1

    def reward_without_steps(self, episode: Episode) -> None:
        """Give an episode in which the policy did nothing that could be played the sum of no rewards, which is 0."""
        if "steps" not in episode.artifacts:
            episode.reward("reward", 0.0)


def as_text(value: Any, most: int) -> str:
    """``value`` as text of at most about ``most`` characters that UTF-8 can hold; what is not text becomes JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return shortened(text.encode("utf-8", "replace").decode("utf-8"), most)


def as_number(value: Any, what: str) -> float:
    """``value``, which the other side gave as ``what``, as a float.

    Raises:
        EnvironmentFault: it is not a finite number, so the attempt cannot be scored.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, str) or not math.isfinite(number):
        raise EnvironmentFault(f"{what} must be a finite number, found {value!r:.80}")
    return number


def action_in(reply: str, tag: str) -> str | None:
    """The action in a reply: its answer without reasoning, or the content of the last ``<tag>``; None without one."""
    answer = split_reasoning(reply)[1]
    if not tag:
        return answer.strip()
    opening, closing = f"<{tag}>", f"</{tag}>"
    end = answer.rfind(closing)
    start = answer.rfind(opening, 0, max(end, 0))
    return answer[start + len(opening) : end].strip() if start >= 0 else None


def _plain(value: Any) -> Any:
    """Arrays and their numbers as lists and numbers; anything else as its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
