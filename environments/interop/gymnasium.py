"""Text environments of Gymnasium: observations are the user's messages, and replies are actions."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from ...verifiers.errors import ConfigError, DeadlineExceeded
from ...verifiers.task import Task
from ...verifiers.trajectory import StopReason
from ..environment import Split
from ..episode import Episode
from ..metered_chat import LimitReached
from ..tools import EpisodeThread
from .foreign import Game, GameConfig, as_text


class Gymnasium(Game):
    """Environments of Gymnasium whose actions are text, or a number of a ``Discrete`` space.

    Each task is a seed. Every episode has an environment of its own, on a thread of its own. The reward is the sum of
    the rewards of all steps; ``truncated`` ends the episode with the stop reason ``turns`` and is not a reward.
    """

    class Config(GameConfig):
        """Which environment to make, and how actions are read from replies."""

        id: str
        """Its id, such as ``module:Name-v0``; the module, which registers it, is imported first."""
        folder: Path | None = None
        """A folder with that module, if it is not installed."""
        options: dict[str, Any] = Field(default_factory=dict)
        """Further arguments of ``gymnasium.make``."""
        actions: list[str] = Field(default_factory=list)
        """Names of the actions of a Discrete space, in its order; without them, an action is its number."""

    @property
    def title(self) -> str:
        """The environment's id."""
        return str(self.config.id)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The seeds of the split.

        Raises:
            ConfigError: Gymnasium is missing, or has no such environment.
        """
        self._made().close()
        yield from super().tasks(split, seed)

    async def run(self, episode: Episode) -> None:
        """Show the first observation, then reply and step until the environment ends the episode."""
        game = _Running(self.config.deadline)
        episode.artifacts["truncated"] = False
        try:
            await self._play(episode, game)
        finally:
            game.close()

    async def _play(self, episode: Episode, game: "_Running") -> None:
        chat, most = episode.chat(), self.config.limits.result_characters
        environment = await game.call(self._made)
        game.environment = environment
        observation, _ = await game.call(lambda: environment.reset(seed=episode.task.info["seed"]))
        chat.add("user", f"{self.config.instruction}\n\n{as_text(observation, most)}".strip())
        while True:
            action, problem = self._action((await chat.reply()).raw, environment.action_space)
            if problem:
                chat.add("user", problem)
                continue
            observation, reward, terminated, truncated, _ = await game.call(partial(environment.step, action))
            self.step_reward(episode, reward)
            if terminated:
                return
            if truncated:
                episode.artifacts["truncated"] = True
                raise LimitReached(StopReason.TURNS)
            chat.add("user", as_text(observation, most))

    def _made(self) -> Any:
        """A new environment."""
        try:
            import gymnasium
        except ImportError:
            raise ConfigError("gymnasium needs its package: pip install 'lachesis-rl[gymnasium]'") from None
        try:
            module, colon, _ = self.config.id.rpartition(":")
            if self.config.folder and (folder := str(self.config.folder.resolve())) not in sys.path:
                sys.path.insert(0, folder)
            if colon:
                importlib.import_module(module)
            made = gymnasium.make(self.config.id, **self.config.options)
        except (ImportError, TypeError, gymnasium.error.Error) as error:
            raise ConfigError(f"gymnasium cannot make {self.config.id!r}: {error}") from None
        space = made.action_space
        if not isinstance(space, gymnasium.spaces.Text | gymnasium.spaces.Discrete):
            raise ConfigError(
                f"the actions of {self.config.id} are {space}; only Text and Discrete can be said in words"
            )
        if self.config.actions and len(self.config.actions) != getattr(space, "n", 0):
            raise ConfigError(f"config.actions has {len(self.config.actions)} names for the space {space}")
        return made

    def _action(self, reply: str, space: Any) -> tuple[Any, str]:
        """The action in a reply, or what to tell the policy if there is none."""
        text, problem = self.action_in(reply)
        if text is None:
            return None, problem
        action: Any = text
        if hasattr(space, "n"):
            names = self.config.actions or [str(space.start + number) for number in range(int(space.n))]
            if text not in names:
                listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
                return None, f"Error: {text[:80]!r} is not an action. Choose one of: {listed}"
            action = int(space.start) + names.index(text)
        elif not space.contains(action):
            return None, f"Error: {text[:80]!r} is not an action. Actions are texts of the space {str(space)[:300]}"
        return action, ""


@dataclass
class _Running:
    """An environment on a thread of its own."""

    deadline: float
    thread: EpisodeThread = field(default_factory=EpisodeThread)
    environment: Any = None

    async def call(self, function: Callable[[], Any]) -> Any:
        """The result of ``function``, called on the thread.

        Raises:
            DeadlineExceeded: it took too long; it is abandoned on its thread, which is a daemon.
        """
        waiting = asyncio.wrap_future(self.thread.submit(function))
        done, _ = await asyncio.wait([waiting], timeout=self.deadline)
        if not done:
            waiting.cancel()
            raise DeadlineExceeded(f"the environment gave no answer within {self.deadline:g} s (config.deadline)")
        return waiting.result()

    def close(self) -> None:
        """Close the environment after the call that may still run, and end the thread."""
        if self.environment is not None:
            self.thread.submit(self.environment.close)
        self.thread.close()
