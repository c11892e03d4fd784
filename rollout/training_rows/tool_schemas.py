"""The tools that an environment offers for a task, found by beginning an episode that ends at the first reply."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...environments.chat import Reply, ScriptedChat
from ...environments.environment import Environment
from ...environments.metered_chat import LimitReached
from ...environments.play import play
from ...environments.thinking import Thinking
from ...verifiers.errors import DataError
from ...verifiers.task import Task
from ...verifiers.trajectory import StopReason

Schemas = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class _Listener:
    """A policy that notes the tools that each agent is shown, and never replies."""

    shown: dict[str, Schemas] = field(default_factory=dict)

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Schemas = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> ScriptedChat:
        self.shown[agent] = list(tools)
        return _Silent([])


class _Silent(ScriptedChat):
    async def reply(self, **sampling: Any) -> Reply:
        raise LimitReached(StopReason.TURNS)


def tools_of(environment: Environment, task: Task, seed: tuple[int, ...]) -> Mapping[str, Schemas]:
    """The JSON schemas of the tools that each agent is shown, in OpenAI's form; agents without tools may be missing.

    Stored trajectories do not hold them. Environments that have no ``tools`` are not played.

    Args:
        environment: is played up to its first reply.
        task: the task.
        seed: of the stored episode.

    Raises:
        DataError: the episode failed; the message says why.
    """
    if type(environment).tools is Environment.tools:
        return {}
    listener = _Listener()
    played = asyncio.run(play(environment, task, dict.fromkeys(environment.agents, listener), seed))
    if played.error:
        raise DataError(f"the tools of {environment.label} are not known, because its episode failed: {played.error}")
    return listener.shown
