"""One attempt at a task while it is alive: its chats, tools, limits and what it leaves behind."""

import asyncio
import random
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..verifiers.errors import ConfigError, InfrastructureError, nearest
from ..verifiers.message import Message, Role
from ..verifiers.reward import Component, Reward
from ..verifiers.segment import Segment
from ..verifiers.task import Task
from ..verifiers.tool_call import ToolCall
from ..verifiers.trajectory import POLICY, StopReason, Trajectory
from ..verifiers.verdict import Verdict
from .chat import Chat, Policy, Reply
from .limits import Limits
from .tools import ToolBox

if TYPE_CHECKING:
    from .environment import Environment


class LimitReached(Exception):
    """A limit ended the episode, in order."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"the episode reached its limit of {reason.value}")
        self.reason = reason


class Episode:
    """What an environment's ``run`` works with.

    Attributes:
        task: what is asked.
        seed: the episode's own numbers; equal seeds give equal episodes.
        rng: randomness for the environment, from ``seed``.
        artifacts: JSON for the verifiers; fill it in ``run`` or ``finish``.
        tools: the tools of this episode.
    """

    def __init__(
        self, task: Task, policies: Mapping[str, Policy], limits: Limits, seed: tuple[int, ...], system_prompt: str = ""
    ) -> None:
        self.task = task
        self.seed = seed
        self.rng = random.Random(repr(seed))
        self.artifacts: dict[str, Any] = {}
        self.tools = ToolBox([])
        self.limits = limits
        self._policies = policies
        self._system_prompt = system_prompt
        self._chats: dict[str, _MeteredChat] = {}
        self._rewards: dict[str, list[Component]] = {}
        self._metrics: dict[str, float] = {}
        self._tool_calls = 0

    def chat(self, agent: str = POLICY) -> Chat:
        """The agent's conversation: the same one at every call, holding only the system prompt (if any) at first."""
        if agent not in self._policies:
            raise ConfigError(f"the environment has no agent {agent!r}; {nearest(agent, self._policies)}")
        if agent not in self._chats:
            inner = self._policies[agent].open(agent, self.seed, self.tools.schemas)
            self._chats[agent] = _MeteredChat(inner, self.limits)
            if self._system_prompt:
                inner.add("system", self._system_prompt)
        return self._chats[agent]

    async def call_tools(self, chat: Chat, calls: Sequence[ToolCall]) -> None:
        """Carry out ``calls`` in order and add their results to ``chat``."""
        for call in calls:
            if self._tool_calls >= self.limits.tool_calls:
                raise LimitReached(StopReason.TOOL_CALLS)
            self._tool_calls += 1
            result = await self.tools.call(call)
            self.metric("tool_errors", self._metrics.get("tool_errors", 0.0) + result.failed)
            chat.add("tool", result.content, name=result.name)

    def reward(self, label: str, score: float | Verdict, *, weight: float = 1.0, agent: str = POLICY) -> None:
        """Give ``agent`` a labelled part of its reward here and now."""
        verdict = score if isinstance(score, Verdict) else Verdict(float(score))
        self._rewards.setdefault(agent, []).append(Component(label, weight, verdict))

    def metric(self, name: str, value: float) -> None:
        """Log a number that earns nothing."""
        self._metrics[name] = float(value)

    def trajectory(
        self, environment: str, stop: StopReason, error: str | None, timings: Mapping[str, float]
    ) -> Trajectory:
        """The record of this episode, with the rewards that it gave itself and no others."""
        segments: list[Segment] = [segment for chat in self._chats.values() for segment in chat.segments()]
        if stop is StopReason.DONE and any(chat.last_stop == "length" for chat in self._chats.values()):
            stop = StopReason.LENGTH
        turns = sum(chat.turns for chat in self._chats.values())
        counts = {"turns": turns, "tool_calls": self._tool_calls, "segments": len(segments)}
        return Trajectory(
            task=self.task,
            environment=environment,
            messages={agent: tuple(chat.messages) for agent, chat in self._chats.items()},
            segments=tuple(segments),
            artifacts=self.artifacts,
            stop=stop,
            error=error,
            metrics={**{name: float(count) for name, count in counts.items()}, **self._metrics},
            timings=timings,
            rewards={agent: Reward(tuple(parts)) for agent, parts in self._rewards.items()},
        )


class _MeteredChat:
    """A chat that ends the episode when a limit is reached."""

    def __init__(self, inner: Chat, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self.turns = 0
        self.tokens = 0
        self.last_stop = ""

    @property
    def messages(self) -> list[Message]:
        return self._inner.messages

    def add(self, role: Role, content: str, **extra: Any) -> None:
        self._inner.add(role, content, **extra)

    async def reply(self, **sampling: Any) -> Reply:
        if self.turns >= self._limits.turns:
            raise LimitReached(StopReason.TURNS)
        left = self._limits.tokens - self.tokens
        if left <= 0:
            raise LimitReached(StopReason.LENGTH)
        reply = await self._inner.reply(**{"max_tokens": left, **sampling})
        self.turns += 1
        self.tokens += reply.tokens
        self.last_stop = reply.stop
        return reply

    def fork(self) -> "_MeteredChat":
        return _MeteredChat(self._inner.fork(), self._limits)

    def rewrite(self, messages: Sequence[Message]) -> None:
        self._inner.rewrite(messages)

    def segments(self) -> list[Segment]:
        return self._inner.segments()


async def play(
    environment: "Environment",
    task: Task,
    policies: Mapping[str, Policy],
    seed: tuple[int, ...],
    *,
    inline: bool = False,
) -> Trajectory:
    """Play one episode: setup, run, finish, close. Not verified yet; never raises for what the environment does."""
    config = environment.config
    episode = Episode(task, policies, config.limits, seed, config.system_prompt)
    stop, error = StopReason.DONE, None
    start = time.perf_counter()

    async def setup_and_run() -> None:
        await environment.setup(episode)
        episode.tools = ToolBox(environment.tools(episode), inline)
        await environment.run(episode)

    for stage in (setup_and_run, lambda: environment.finish(episode)):
        try:
            async with asyncio.timeout(config.limits.seconds):
                await stage()
        except LimitReached as limit:
            stop = limit.reason
        except TimeoutError:
            stop = StopReason.SECONDS
        except InfrastructureError as failure:
            stop, error = StopReason.INFRA_ERROR, f"{type(failure).__name__}: {failure}"
            break
        except Exception as fault:  # noqa: BLE001 - the environment's code is not ours: it harms its own trajectory only
            stop, error = StopReason.ENVIRONMENT_ERROR, _where(fault)
            break
    seconds = time.perf_counter() - start
    try:
        async with asyncio.timeout(config.limits.seconds):
            await environment.close(episode)
    except Exception as fault:  # noqa: BLE001 - as above
        stop, error = StopReason.ENVIRONMENT_ERROR, error or _where(fault)
    episode.tools.close()
    return episode.trajectory(environment.label, stop, error, {"episode": seconds})


def _where(error: BaseException) -> str:
    """One line with the type, the message and the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
