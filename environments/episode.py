"""One attempt at a task while it is alive: its chats, tools, limits and what it leaves behind."""

import asyncio
import copy
import math
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..verifiers.boundary import Boundary
from ..verifiers.errors import ConfigError, DataError, InfrastructureError, nearest
from ..verifiers.message import Message, Role, is_reply
from ..verifiers.reward import Component, Reward
from ..verifiers.rows.jsonl import check_json
from ..verifiers.segment import Segment
from ..verifiers.task import Task
from ..verifiers.tool_calling.call import ToolCall
from ..verifiers.trajectory import POLICY, StopReason, Trajectory
from ..verifiers.verdict import Total, Verdict
from .chat import Chat, Policy, Reply
from .limits import Limits
from .thinking import Thinking
from .tools import ToolBox, ToolResult
from .workspace import Workspace

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
        artifacts: JSON for the verifiers; fill it in ``run`` or ``finish``.
        tools: the tools of this episode.
        thinking: how policies reason here; a mixed mode is decided.
    """

    def __init__(
        self,
        task: Task,
        policies: Mapping[str, Policy],
        limits: Limits,
        seed: tuple[int, ...],
        system_prompt: str = "",
        owned: Callable[[str], bool] = lambda label: False,
        show_tools: bool = True,
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> None:
        self.task = replace(task, info=copy.deepcopy(task.info)) if task.info else task  # attempts share nothing
        self._asked = task
        self.thinking = thinking.drawn(seed)
        self._mixed = thinking.mode == "mixed"
        self.seed = seed
        self.artifacts: dict[str, Any] = {}
        self.tools = ToolBox([])
        self.limits = limits
        self._policies = policies
        self._system_prompt = system_prompt
        self._owned = owned  # whether a label is the rubric's
        self._show_tools = show_tools
        self._chats: dict[str, _MeteredChat] = {}
        self._rewards: dict[str, tuple[Component, ...]] = {}
        self._steps: dict[tuple[str, str], _Steps] = {}
        self._metrics: dict[str, float] = {}
        self._tool_calls = 0

    @cached_property
    def rng(self) -> random.Random:
        """Randomness for the environment, from ``seed``."""
        return random.Random(repr(self.seed))

    @cached_property
    def workspace(self) -> Workspace:
        """The episode's own folder in the sandbox; empty at first."""
        return Workspace()

    def chat(self, agent: str = POLICY) -> Chat:
        """The agent's conversation: the same one at every call, holding only the system prompt (if any) at first."""
        self._check_agent(agent)
        if agent not in self._chats:
            schemas = self.tools.schemas if self._show_tools else []
            inner = self._policies[agent].open(agent, self.seed, schemas, self.thinking)
            self._chats[agent] = _MeteredChat(inner, self.limits, _Meter())
            instruction = self.thinking.instruction if self.thinking.mode == "on" else ""
            if system := "\n\n".join(filter(None, (self._system_prompt, instruction))):
                inner.add("system", system)
        return self._chats[agent]

    async def call_tools(self, chat: Chat, calls: Sequence[ToolCall]) -> None:
        """Carry out ``calls`` in order and add their results to ``chat``."""
        for call in calls:
            if self._tool_calls >= self.limits.tool_calls:
                raise LimitReached(StopReason.TOOL_CALLS)
            self._tool_calls += 1
            result = await self.tools.call(call)
            self.metric("tool_errors", self._metrics.get("tool_errors", 0.0) + result.failed)
            chat.add("tool", result.content, name=result.name, **_noted(call, result))

    def reward(self, label: str, score: float | Verdict, *, weight: float = 1.0, agent: str = POLICY) -> None:
        """Give ``agent`` a labelled part of its reward here and now; the rubric's own labels are taken."""
        self._check_label(label, agent)
        verdict = score if isinstance(score, Verdict) else Verdict(float(score), graded=not isinstance(score, bool))
        parts = (*self._rewards.get(agent, ()), Component(label, weight, verdict))
        self._rewards[agent] = Reward(parts).components

    def step_reward(
        self, label: str, score: float, *, weight: float = 1.0, total: Total = "sum", agent: str = POLICY
    ) -> None:
        """Score the agent's latest turn; turns that are given nothing score 0, scores of one turn add up.

        The label's score is the ``total`` of all the turns; the scores of each stand in its verdict's ``steps``.
        """
        self._check_label(label, agent)
        turn = sum(map(is_reply, self.chat(agent).messages)) - 1
        if turn < 0 or not math.isfinite(score):
            raise ConfigError(
                f"step reward {label!r}: agent {agent!r} has had {turn + 1} turns, the score is {score!r}"
            )
        steps = self._steps.setdefault((agent, label), _Steps(weight, total, {}))
        steps.scores[turn] = steps.scores.get(turn, 0.0) + float(score)

    def metric(self, name: str, value: float) -> None:
        """Log a finite number that earns nothing."""
        if not math.isfinite(value):
            raise DataError(f"metric {name!r} is finite, found {value!r}")
        self._metrics[name] = float(value)

    @property
    def unanswered(self) -> str:
        """Why a reply never came, where the environment went on as if nothing had happened; empty as a rule."""
        return next((why for chat in self._chats.values() for why in chat.meter.unanswered.values()), "")

    def _check_agent(self, agent: str) -> None:
        if agent not in self._policies:
            raise ConfigError(f"the environment has no agent {agent!r}; {nearest(agent, self._policies)}")

    def _check_label(self, label: str, agent: str) -> None:
        self._check_agent(agent)
        if self._owned(label):
            raise ConfigError(f"the rubric has a reward labelled {label!r} already; give this one another label")

    def _given(self) -> dict[str, Reward]:
        """What the episode itself gave each agent."""
        rewards = dict(self._rewards)
        for (agent, label), steps in self._steps.items():
            verdict = steps.verdict(sum(map(is_reply, self.chat(agent).messages)))
            rewards[agent] = (*rewards.get(agent, ()), Component(label, steps.weight, verdict))
        return {agent: Reward(parts) for agent, parts in rewards.items()}

    def trajectory(
        self, environment: str, stop: StopReason, error: str | None, timings: Mapping[str, float]
    ) -> Trajectory:
        """The record of this episode, with the rewards that it gave itself and no others."""
        segments: list[Segment] = [segment for chat in self._chats.values() for segment in chat.segments()]
        if stop is StopReason.DONE and any(chat.meter.last_stop == "length" for chat in self._chats.values()):
            stop = StopReason.LENGTH
        counts = {
            "turns": sum(chat.meter.turns for chat in self._chats.values()),
            "tool_calls": self._tool_calls,
            "segments": len(segments),
            "template_breaks": sum(chat.breaks for chat in self._chats.values()),
        }
        if self.thinking.budget:
            counts["forced_closings"] = sum(chat.meter.forced for chat in self._chats.values())
        if self._mixed:
            counts["thinking"] = int(self.thinking.mode == "on")
        return Trajectory(
            task=self._asked,
            environment=environment,
            messages={agent: tuple(chat.messages) for agent, chat in self._chats.items()},
            segments=tuple(segments),
            artifacts=self.artifacts,
            stop=stop,
            error=error,
            metrics={**{name: float(count) for name, count in counts.items()}, **self._metrics},
            timings=timings,
            rewards=self._given(),
        )


def _noted(call: ToolCall, result: ToolResult) -> dict[str, Any]:
    """What verifiers are told of a call: its arguments, where they can be stored, and that it failed."""
    noted: dict[str, Any] = {"error": True} if result.failed else {}
    try:
        check_json(call.arguments, "a call's arguments")
    except DataError:  # formats other than JSON can write numbers that are none
        return noted
    return {"arguments": call.arguments, **noted}


class _Steps(NamedTuple):
    """Scores by turn under one label."""

    weight: float
    total: Total
    scores: dict[int, float]

    def verdict(self, turns: int) -> Verdict:
        """The verdict over ``turns`` turns, or more where a rewritten conversation has lost some."""
        turns = max(turns, *(turn + 1 for turn in self.scores))
        return Verdict.of_steps([self.scores.get(turn, 0.0) for turn in range(turns)], self.total)


@dataclass
class _Meter:
    """What one agent used up, forks included."""

    turns: int = 0
    asked: int = 0
    tokens: int = 0
    forced: int = 0
    last_stop: str = ""
    unanswered: dict["_MeteredChat", str] = field(default_factory=dict)


class _MeteredChat:
    """A chat that ends the episode when a limit is reached."""

    def __init__(self, inner: Chat, limits: Limits, meter: _Meter) -> None:
        self._inner = inner
        self._limits = limits
        self.meter = meter

    @property
    def messages(self) -> list[Message]:
        return self._inner.messages

    def add(self, role: Role, content: str, **extra: Any) -> None:
        if role == "assistant":
            extra.setdefault("given", True)
        self._inner.add(role, content, **extra)

    async def reply(self, **sampling: Any) -> Reply:
        if self.meter.turns + self.meter.asked >= self._limits.turns:
            raise LimitReached(StopReason.TURNS)
        left = self._limits.tokens - self.meter.tokens
        if left <= 0:
            raise LimitReached(StopReason.LENGTH)
        most = min(left, sampling.get("max_tokens", left))
        self.meter.asked += 1
        try:
            reply = await self._inner.reply(**{**sampling, "max_tokens": most})
        except InfrastructureError as failure:
            self.meter.unanswered[self] = f"{type(failure).__name__}: {failure}"
            raise
        finally:
            self.meter.asked -= 1
        self.meter.unanswered.pop(self, None)
        self.meter.turns += 1
        self.meter.tokens += reply.tokens
        self.meter.forced += reply.forced
        self.meter.last_stop = reply.stop
        return reply

    def fork(self) -> "_MeteredChat":
        return _MeteredChat(self._inner.fork(), self._limits, self.meter)

    def rewrite(self, messages: Sequence[Message]) -> None:
        self._inner.rewrite(messages)

    def segments(self) -> list[Segment]:
        return self._inner.segments()

    @property
    def breaks(self) -> int:
        return self._inner.breaks


async def play(
    environment: "Environment",
    task: Task,
    policies: Mapping[str, Policy],
    seed: tuple[int, ...],
    *,
    inline: bool = False,
) -> Trajectory:
    """Play one episode: setup, run, finish, close. Not verified yet; never raises for what the environment does.

    ``close`` is called also where the episode failed or was cancelled.
    """
    config = environment.config
    owned = environment.rubric.owns
    episode = Episode(
        task, policies, config.limits, seed, config.system_prompt, owned, config.show_tools, config.thinking
    )
    start = time.perf_counter()
    tools = ToolBox([])

    async def setup_and_run() -> None:
        nonlocal tools
        await environment.setup(episode)
        episode.tools = tools = ToolBox(environment.tools(episode), inline)
        await tools.open()
        await environment.run(episode)

    try:
        stop, error = await _guarded(setup_and_run, environment)
        if error is None:
            finished, error = await _guarded(lambda: environment.finish(episode), environment)
            stop = stop if finished is StopReason.DONE else finished
        if error is None and episode.unanswered:  # caught by the environment, it is no reward all the same
            stop, error = StopReason.INFRA_ERROR, episode.unanswered
        seconds = time.perf_counter() - start
    finally:
        closed, close_error = await _guarded(lambda: environment.close(episode), environment)
        await tools.close()
    if closed is not StopReason.DONE:
        worse = closed if closed is StopReason.INFRA_ERROR else StopReason.ENVIRONMENT_ERROR
        stop = stop if error else worse
        error = error or close_error or f"close reached the limit of {closed.value}"
    with Boundary(home_of(environment), passing=()) as outcome:  # what the environment left may be no record
        return episode.trajectory(environment.label, stop, error, {"episode": seconds})
    why = str(outcome.error if isinstance(outcome.error, DataError) else outcome.fault)
    return Trajectory(task, environment.label, stop=StopReason.ENVIRONMENT_ERROR, error=error or why)


async def _guarded(stage: Callable[[], Awaitable[None]], environment: "Environment") -> tuple[StopReason, str | None]:
    """Run one stage within the episode's seconds: how it ended, and the error where one was raised."""
    clock = asyncio.timeout(environment.config.limits.seconds)
    with Boundary(home_of(environment), passing=()) as outcome:
        async with clock:
            await stage()
    match outcome.error:
        case None:
            return StopReason.DONE, None
        case LimitReached() as limit:
            return limit.reason, None
        case InfrastructureError() as failure:
            return StopReason.INFRA_ERROR, f"{type(failure).__name__}: {failure}"
        case TimeoutError() if clock.expired():
            return StopReason.SECONDS, None
        case _:
            return StopReason.ENVIRONMENT_ERROR, str(outcome.fault)


def home_of(environment: "Environment") -> str | None:
    """The file that defines the environment's class; None where there is none, as in a console."""
    return getattr(sys.modules.get(type(environment).__module__), "__file__", None)
