"""Supervised samples made of an environment's own demonstrations, so that reinforcement has something to reinforce."""

from collections.abc import Collection

import numpy as np

from ...environments.environment import Environment, scripts
from ...environments.play import play
from ...rollout.chats.renderer import Ids, Renderer
from ...rollout.chats.token_chat import TokenPolicy
from ...rollout.engines.engine import Completion, Request, Sampling
from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.message import Message
from ...verifiers.task import Task
from ..learner.packing import Sample

_UNBOUNDED = 1 << 30


async def demonstration_samples(
    environment: Environment, task: Task, renderer: Renderer, learners: Collection[str] | None = None
) -> list[Sample]:
    """An episode in which the agents say what the demonstration has them say, as what ``learners`` (all) learn.

    It is played as in training, so what stands between the replies (results of tools, other agents) is what will stand
    there, and is context; the replies are learned, end of turn included.

    Raises:
        ConfigError: the episode fails, or asks for more replies than there are.
    """
    policies = {
        agent: TokenPolicy(_Speaker(script, renderer), renderer, Sampling(max_tokens=_UNBOUNDED), context=_UNBOUNDED)
        for agent, script in scripts(environment, environment.demonstration(task)).items()
    }
    played = await play(environment, task, policies, seed=(0,), inline=True)
    if played.error or not played.segments:
        raise ConfigError(
            f"the demonstration of task {task.id} cannot be played: {played.error or 'no reply was asked for'}; "
            f"correct {environment.label}'s demonstration(task), or set warm_start.steps = 0"
        )
    return [
        Sample(segment.tokens, segment.mask, None, np.ones(len(segment), np.float32))
        for segment in played.segments
        if learners is None or segment.agent in learners
    ]


def opening(environment: Environment, task: Task, renderer: Renderer) -> Ids:
    """The task's prompt and the first reply of the demonstration: some ids of the environment's kind."""
    system: list[Message] = []
    if environment.config.system_prompt:
        system.append({"role": "system", "content": environment.config.system_prompt})
    first = next((script[0] for script in scripts(environment, environment.demonstration(task)).values() if script), "")
    return np.concatenate([renderer.prompt([*system, *task.messages]), renderer.reply(first)]).astype(np.int32)


class _Speaker:
    """An engine that says one reply of the script at every request."""

    def __init__(self, script: tuple[str, ...], renderer: Renderer) -> None:
        self._script = iter(script)
        self._renderer = renderer

    async def generate(self, request: Request) -> Completion:
        """The ids of the next reply."""
        text = next(self._script, None)
        if text is None:
            raise EngineError("the episode asks for more replies than it has")
        tokens = self._renderer.rest_of(text, request.prompt)
        return Completion(tokens, np.zeros(tokens.size, np.float32), np.zeros(tokens.size, np.int32), "stop")
