"""The supervised samples of the warm start, made of the environments' demonstrations."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ...environments.environment import Environment, scripts
from ...environments.play import play
from ...rollout.chats.renderer import Ids, Renderer
from ...rollout.chats.token_chat import TokenPolicy
from ...rollout.engines.engine import Completion, Request, Sampling
from ...rollout.tasks.mixture import Draw
from ...rollout.workers.agents import AgentPolicies
from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.message import Message
from ...verifiers.task import Task
from ..config import RunConfig
from ..learner.sample import Sample
from .model import check_tokens

_UNBOUNDED = 1 << 30


class Demonstrations:
    """The demonstrations of a run's environments, as samples.

    Args:
        environments: the run's environments.
        config: the run's configuration.
        renderer: renders the model's chat template.
    """

    def __init__(self, environments: Sequence[Environment], config: RunConfig, renderer: Renderer) -> None:
        self._environments, self._renderer, self._context = environments, renderer, config.model.context
        self._learners = [
            AgentPolicies(environment, entry.agents).learners
            for environment, entry in zip(environments, config.environments, strict=True)
        ]

    async def samples(self, draw: Draw) -> list[Sample]:
        """Return the samples of one task's demonstration.

        Raises:
            ConfigError: The demonstration cannot be played, or has more tokens than ``model.context``.
        """
        environment, learners = self._environments[draw.environment], self._learners[draw.environment]
        samples = await demonstration_samples(environment, draw.task, self._renderer, learners)
        longest = max(sample.tokens.size for sample in samples)
        if longest > self._context:
            raise ConfigError(
                f"the demonstration of task {draw.task.id} has {longest} tokens, more than model.context = "
                f"{self._context}; raise it, or set warm_start.steps = 0"
            )
        return samples

    async def batch(self, draws: Iterator[Draw], size: int) -> list[Sample]:
        """Return the samples of the demonstrations of the next ``size`` tasks."""
        return [sample for _ in range(size) for sample in await self.samples(next(draws))]

    def probe(self, draw: Draw, vocabulary: int) -> Ids:
        """Return the tokens of a prompt and the first reply of its demonstration, cut to the context.

        Raises:
            ConfigError: The tokenizer gives ids that the model does not have.
        """
        tokens = probe_text(self._environments[draw.environment], draw.task, self._renderer)
        check_tokens(int(tokens.max()), vocabulary)
        return tokens[: self._context - 1]


async def demonstration_samples(
    environment: Environment, task: Task, renderer: Renderer, learners: Collection[str] | None = None
) -> list[Sample]:
    """Play an episode in which the agents give the replies of the demonstration; return the samples of ``learners``.

    The episode is played as in training, so the samples have the same context between the replies (tool results,
    other agents). The replies are trained, including their end-of-turn tokens. By default all agents are learners.

    Raises:
        ConfigError: The episode fails, or asks for more replies than the demonstration has.
    """
    policies = {
        agent: TokenPolicy(
            _ScriptedReplies(script, renderer), renderer, Sampling(max_tokens=_UNBOUNDED), context=_UNBOUNDED
        )
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


def probe_text(environment: Environment, task: Task, renderer: Renderer) -> Ids:
    """Return the tokens of the task's prompt and of the demonstration's first reply."""
    system: list[Message] = []
    if environment.config.system_prompt:
        system.append({"role": "system", "content": environment.config.system_prompt})
    first = next((script[0] for script in scripts(environment, environment.demonstration(task)).values() if script), "")
    return np.concatenate([renderer.prompt([*system, *task.messages]), renderer.reply(first)]).astype(np.int32)


class _ScriptedReplies:
    """An engine that answers each request with the next reply of a script."""

    def __init__(self, script: tuple[str, ...], renderer: Renderer) -> None:
        self._script = iter(script)
        self._renderer = renderer

    async def generate(self, request: Request) -> Completion:
        """Return the tokens of the next reply."""
        text = next(self._script, None)
        if text is None:
            raise EngineError("the episode asks for more replies than the demonstration has")
        tokens = self._renderer.rest_of(text, request.prompt)
        return Completion(tokens, np.zeros(tokens.size, np.float32), np.zeros(tokens.size, np.int32), "stop")
