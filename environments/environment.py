"""The base class of environments: tasks, a rubric and, if needed, the course of an episode."""

import asyncio
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

from ..verifiers.boundary import Boundary
from ..verifiers.case import Case
from ..verifiers.errors import ConfigError, DataError, EnvironmentFault, LachesisError, nearest
from ..verifiers.reward import Reward
from ..verifiers.rows.row import check_entries
from ..verifiers.rubric import Rubric
from ..verifiers.settings import Settings, validated
from ..verifiers.task import Task
from ..verifiers.trajectory import POLICY, StopReason, Trajectory
from ..verifiers.use import is_reward
from .chat import ScriptedPolicy
from .episode import Episode
from .limits import Limits
from .play import home_of, idle, play
from .thinking import Thinking

Split = Literal["train", "test"]

Replies = str | Iterable[str] | Mapping[str, Iterable[str]]
"""The replies of an episode: one or several in order, the same for all agents or by agent."""

MAX_REFUSED = 100
"""Most tasks that cannot be judged and are left out, if they are collected; the next one ends the drawing."""

_RENAMED = {"judge": "score_trajectory", "judge_group": "score_group"}
_OF_INSTANCES = frozenset({"config", "label"})
"""Attributes that each instance sets."""


class EnvironmentConfig(Settings):
    """Settings that every environment has; subclass it as ``Config`` to add more."""

    system_prompt: str = ""
    """System prompt of every conversation; none if empty."""
    show_tools: bool = True
    """Whether the prompt shows the tools' schemas; if not, the system prompt or a warm start has to teach them."""
    limits: Limits = Limits()
    """Limits of an episode on turns, tokens, tool calls and seconds."""
    thinking: Thinking = Thinking()
    """Whether the policy reasons before it answers, and for how long."""


class Environment:
    """Tasks, a rubric and, if one reply is not enough, one async ``run``.

    An episode goes through setup → run → finish → close, and is then scored. Verifiers see only the messages and what
    ``finish`` left in the artifacts, so every score can be computed again from the stored record.

    Args:
        settings: the fields of ``Config``.

    Raises:
        ConfigError: a setting is unknown or impossible, or the class defines a method by an old name.
    """

    Config: ClassVar[type[EnvironmentConfig]] = EnvironmentConfig
    agents: tuple[str, ...] = (POLICY,)
    rubric: Rubric = Rubric()
    played: ClassVar[bool] = True
    """Whether its tasks are played here; if not, its groups come from outside, and it has no held-out tasks."""
    untrained: ClassVar[frozenset[str]] = frozenset()
    """Agents whose replies are never trained on, whatever a run's config says."""
    needs_sandbox: ClassVar[bool] = False
    """Whether its own methods run the policy's programs in a sandbox; verifiers declare this for themselves."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name, value in vars(cls).items():
            if is_reward(value) and (hasattr(Environment, name) or name in _OF_INSTANCES):
                raise ConfigError(
                    f"{cls.__name__}.{name}: a reward cannot be a method called {name!r}, because Environment uses "
                    f"that name; rename the method (@reward(label={name!r}) keeps the label)"
                )

    def __init__(self, **settings: Any) -> None:
        self.label = type(self).__name__
        self.config: Any = validated(type(self).Config, settings, f"environment {type(self).__name__}")
        self.rubric = type(self).rubric.with_methods(self)
        self._check_class()

    def _check_class(self) -> None:
        cls = type(self)
        for old, new in _RENAMED.items():
            if callable(method := getattr(cls, old, None)) and not is_reward(method):
                raise ConfigError(f"{cls.__name__}.{old} is called {new} now; rename the method")
        for name in ("setup", "run", "finish", "close"):
            if not inspect.iscoroutinefunction(getattr(cls, name)):
                raise ConfigError(f"{cls.__name__}.{name} is not a coroutine; write `async def {name}`")
        for agent in sorted(self.rubric.agents - set(self.agents)):
            raise ConfigError(
                f"{cls.__name__}: the rubric scores agent {agent!r}, which the environment does not have; "
                f"{nearest(agent, self.agents)}"
            )

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that have tasks; a benchmark may have only ``test``."""
        return "train", "test"

    def tasks(self, split: Split, seed: int) -> Iterable[Task]:
        """The tasks of ``split``, in an order decided by ``seed``; may be infinite. A finite one is started again."""
        raise NotImplementedError(f"{type(self).__name__} has no tasks(split, seed)")

    def tools(self, episode: Episode) -> list[Any]:
        """Typed functions, or objects whose public methods are tools, made for this episode."""
        return []

    async def setup(self, episode: Episode) -> None:
        """Prepare what the episode needs."""

    async def run(self, episode: Episode) -> None:
        """Hold the conversation. Default: show the task, then let the policy reply until it calls no more tools."""
        chat = episode.chat()
        for message in episode.task.messages:
            chat.add(**message)
        while (reply := await chat.reply()).tool_calls and episode.tools.tools:
            await episode.call_tools(chat, reply.tool_calls)

    @idle
    async def finish(self, episode: Episode) -> None:
        """Leave in ``episode.artifacts`` what the verifiers need."""

    @idle
    async def close(self, episode: Episode) -> None:
        """Release what ``setup`` acquired; always called."""

    def demonstration(self, task: Task) -> Replies:
        """A perfect reply, or the replies of all turns, for supervised warm starts. Default: the answer itself.

        Raises:
            ConfigError: the answer is a table, such as the tests of a program, and no reply.
        """
        if isinstance(task.answer, Mapping):
            keys = ", ".join(map(repr, list(task.answer)[:3]))
            raise ConfigError(
                f"task {task.id}: its answer is a table with {keys}, not a reply; define demonstration(task)"
            )
        return str(task.answer)

    async def score_trajectory(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with each agent's reward: the rubric's verdicts, and what the episode itself gave.

        A trajectory that ended with an error is returned without rewards.

        Raises:
            ConfigError: the rubric's ``success`` names a label that no part of the reward has.
        """
        if trajectory.stop in (StopReason.ENVIRONMENT_ERROR, StopReason.INFRA_ERROR):
            return trajectory.with_rewards({})
        rewards = {}
        for agent in self.agents:
            judged = await self.rubric.score(Case(trajectory, agent), rows=agent == self.agents[0])
            given = trajectory.rewards[agent].components if agent in trajectory.rewards else ()
            rewards[agent] = judged.extended(part for part in given if not self.rubric.owns(part.label))
        if trajectory.stop is StopReason.DONE:  # a limit may end an episode before it gives the decisive reward
            self.rubric.check_success(rewards)
        return trajectory.with_rewards(rewards)

    async def score_group(self, attempts: Sequence[Trajectory]) -> list[Trajectory]:
        """Scored attempts at one task, with the rubric's group rewards added.

        Attempts without a score are left as they are, and so is a single attempt, which has none to be compared with.
        """
        scored = [number for number, attempt in enumerate(attempts) if attempt.scored]
        if not self.rubric.scores_groups or len(scored) < 2:
            return list(attempts)
        rewards = {number: dict(attempts[number].rewards) for number in scored}
        for agent in self.agents:
            cases = [Case(attempts[number], agent) for number in scored]
            for number, reward in zip(scored, await self.rubric.score_group(cases), strict=True):
                rewards[number][agent] = reward
        return [
            attempt.with_rewards(rewards[number]) if number in rewards else attempt
            for number, attempt in enumerate(attempts)
        ]

    async def attempt(self, task: Task, replies: Replies, *, seed: int = 0) -> Trajectory:
        """Play an episode in which the agents say ``replies``, and score it. Needs no engine.

        ``episode.rng`` follows from the task and ``seed``, so that another seed plays another random branch.
        """
        policies = {agent: ScriptedPolicy(script) for agent, script in scripts(self, replies).items()}
        return await self.score_trajectory(await play(self, task, policies, episode_seed(seed, task), inline=True))

    def score(self, task: Task, *replies: str, seed: int = 0) -> Reward:
        """The reward of the first agent for saying ``replies``, without group rewards; ``seed`` as in ``attempt``.

        Needs no engine, and works in a notebook too.

        Raises:
            DataError: the task asks for a verifier that it cannot have, or has an answer that it cannot use.
            ConfigError: the episode failed.
        """
        check_entries(task, self.rubric.verifiers)
        with ThreadPoolExecutor(1) as thread:
            trajectory = thread.submit(lambda: asyncio.run(self.attempt(task, replies, seed=seed))).result()
        if trajectory.error:
            raise ConfigError(f"the episode failed: {trajectory.error}")
        return trajectory.rewards[self.agents[0]]


def episode_seed(seed: int, task: Task, player: str = "") -> tuple[int, ...]:
    """The seed of a scripted episode: every task, and every player of it, has random numbers of its own."""
    return (seed, int(task.hash[:8], 16), *player.encode())


def scripts(environment: Environment, replies: Replies) -> dict[str, tuple[str, ...]]:
    """What each agent of the environment says, by agent.

    Raises:
        ConfigError: the environment has no agent of a name in ``replies``.
    """
    if not isinstance(replies, Mapping):
        return dict.fromkeys(environment.agents, (replies,) if isinstance(replies, str) else tuple(replies))
    for agent in replies:
        if agent not in environment.agents:
            raise ConfigError(
                f"{environment.label} has no agent {agent!r} to give replies; {nearest(str(agent), environment.agents)}"
            )
    return {agent: tuple(replies.get(agent, ())) for agent in environment.agents}


def tasks_of(
    environment: Environment, split: Split, seed: int, refused: list[DataError] | None = None
) -> Iterator[Task]:
    """The environment's tasks, checked one by one.

    Args:
        environment: gives the tasks.
        split: the split.
        seed: decides their order.
        refused: collects the errors of up to ``MAX_REFUSED`` tasks that cannot be judged, which are then left out.

    Raises:
        EnvironmentFault: ``tasks`` raised; the message has its file and line.
        ConfigError: it yields something that is not a ``Task``.
        DataError: a task asks for a verifier that it cannot have, or has an answer that its verifiers cannot use.
    """
    with Boundary(home_of(environment), passing=LachesisError) as outcome:
        for task in environment.tasks(split, seed):
            if not isinstance(task, Task):
                raise ConfigError(
                    f"{environment.label}: tasks({split!r}, …) must yield Task objects, found {task!r:.80}"
                )
            try:
                check_entries(task, environment.rubric.verifiers)
            except DataError as error:
                if refused is None or len(refused) >= MAX_REFUSED:
                    raise
                refused.append(error)
                continue
            yield task
    if outcome.fault:
        message = f"{environment.label}: tasks({split!r}, …) raised {outcome.fault}"
        raise EnvironmentFault(message) from outcome.error


def endless(environment: Environment, split: Split, seed: int) -> Iterator[Task]:
    """The environment's tasks, started again with the next seed each time they end.

    Raises:
        ConfigError: the split has no tasks.
    """
    epoch = 0
    while True:
        found = False
        for task in tasks_of(environment, split, seed + epoch):
            found = True
            yield task
        if not found:
            raise ConfigError(f"{environment.label} has no tasks in split {split!r}; check its dataset")
        epoch += 1
