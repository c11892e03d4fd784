"""What all adapters share: settings, what a success is, and text that can be shown to a policy and stored."""

import json
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field

from ...verifiers.errors import ConfigError, EnvironmentFault
from ...verifiers.rubric import Rubric
from ...verifiers.task import Task
from ...verifiers.text.think import split_reasoning
from ..environment import Environment, EnvironmentConfig, Replies, Split
from ..episode import Episode
from ..tools import shortened

FIRST_TRAINED = 1 << 20
"""Seeds below this one are kept for held-out tasks."""


class ForeignConfig(EnvironmentConfig):
    """Settings of every adapter."""

    success: float | None = None
    """Least total reward that is a success. Without it there is no accuracy, only the mean reward."""
    deadline: float = Field(120.0, gt=0)
    """Most seconds for one answer of the other side. If it takes longer, the attempt is not scored."""


class GameConfig(ForeignConfig):
    """Settings of adapters to games."""

    instruction: str = ""
    """Text before the first observation."""
    tag: str = ""
    """The tag whose last content in a reply is the action; if empty, the whole answer is."""
    test_tasks: int = Field(100, ge=1, le=FIRST_TRAINED)
    """Held-out tasks. Their seeds, which count from 0, are never trained on."""


class Foreign(Environment):
    """An environment whose rewards come from the other side, as parts that the episode gives."""

    Config = ForeignConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rubric = Rubric(success=self.config.success).with_methods(self)

    def demonstration(self, task: Task) -> Replies:
        """The task's answer.

        Raises:
            ConfigError: it has none, as the games of other frameworks, so a warm start cannot learn from it.
        """
        if task.answer is None:
            raise ConfigError(f"{self.label} gives no answers to demonstrate; leave it out of the warm start")
        return super().demonstration(task)

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


class Game(Foreign):
    """A game whose tasks are seeds, and whose reward is the sum of the rewards of all steps."""

    Config = GameConfig

    @property
    def title(self) -> str:
        """What is played, for people."""
        raise NotImplementedError

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends."""
        rng = random.Random(seed)
        seeds: Iterable[int] = range(self.config.test_tasks)
        if split == "train":
            seeds = iter(lambda: rng.randrange(FIRST_TRAINED, 1 << 31), None)
        for number in seeds:
            yield Task(f"Play {self.title} from seed {number}.", info={"seed": number}, id=f"seed {number}")

    async def finish(self, episode: Episode) -> None:
        """Score an episode without a step."""
        self.reward_without_steps(episode)

    def action_in(self, reply: str) -> tuple[str | None, str]:
        """The action in a reply, or what to tell the policy if there is none.

        It is the answer without reasoning, or the content of the last ``config.tag`` in it.
        """
        answer = split_reasoning(reply)[1]
        if not self.config.tag:
            return answer.strip(), ""
        opening, closing = f"<{self.config.tag}>", f"</{self.config.tag}>"
        end = answer.rfind(closing)
        start = answer.rfind(opening, 0, max(end, 0))
        if start < 0:
            return None, f"Error: no action found. Write it within {opening} and {closing}."
        return answer[start + len(opening) : end].strip(), ""


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


def _plain(value: Any) -> Any:
    """Arrays and their numbers as lists and numbers; anything else as its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
