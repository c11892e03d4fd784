"""One attempt at a task while it runs: its chats, tools, limits and results."""

import copy
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..verifiers.errors import ConfigError, DataError, nearest
from ..verifiers.message import is_reply
from ..verifiers.reward import Component, Reward
from ..verifiers.rows.jsonl import check_json
from ..verifiers.rubric import RESERVED_LABELS
from ..verifiers.segment import Segment
from ..verifiers.task import Task
from ..verifiers.tool_calling.call import ToolCall
from ..verifiers.trajectory import POLICY, StopReason, Trajectory
from ..verifiers.use import as_verdict
from ..verifiers.verdict import Total, Verdict
from .chat import Chat, Policy
from .metered_chat import LimitReached, Meter, MeteredChat
from .model_server import ModelServer, Recorded, Servable
from .tools import ToolBox, ToolResult, shortened
from .workspace import Workspace

if TYPE_CHECKING:
    from .environment import EnvironmentConfig

_FLOAT32 = float(np.finfo(np.float32).max)


class Episode:
    """What an environment's ``run`` works with.

    Args:
        task: what is asked.
        policies: agent → the policy that plays it.
        seed: decides every random choice of the episode; equal seeds give equal episodes.
        config: limits, system prompt, thinking, and whether prompts show the tools.
        owned: whether a reward's label belongs to the rubric.

    Attributes:
        task: what is asked; a copy, because attempts share nothing.
        artifacts: JSON for the verifiers; fill it in ``run`` or ``finish``.
        tools: the tools of this episode.
        thinking: how policies reason in this episode: the mode ``mixed`` has been decided.
    """

    def __init__(
        self,
        task: Task,
        policies: Mapping[str, Policy],
        seed: tuple[int, ...],
        config: "EnvironmentConfig",
        owned: Callable[[str], bool] = lambda label: False,
    ) -> None:
        self.task = _own(task) if task.info else task
        self.seed = seed
        self.artifacts: dict[str, Any] = {}
        self.tools = ToolBox([])
        self.limits = config.limits
        self.thinking = config.thinking.drawn(seed)
        self._asked = task
        self._config = config
        self._policies = policies
        self._owned = owned
        self._chats: dict[str, MeteredChat] = {}
        self._recorded: dict[str, Recorded] = {}
        self._rewards: dict[str, tuple[Component, ...]] = {}
        self._steps: dict[tuple[str, str], _Steps] = {}
        self._metrics: dict[str, float] = {}
        self._tool_calls = 0

    @cached_property
    def rng(self) -> random.Random:
        """Random numbers for the environment, seeded by ``seed``."""
        return random.Random(repr(self.seed))

    @cached_property
    def workspace(self) -> Workspace:
        """The episode's own folder in the sandbox; it is empty at first."""
        return Workspace()

    def chat(self, agent: str = POLICY) -> Chat:
        """The agent's conversation, the same at every call; at first it holds only the system prompt, if any."""
        self._check_agent(agent)
        if agent in self._recorded:
            raise ConfigError(f"a program had the conversation of agent {agent!r} in this episode; it cannot chat too")
        if agent not in self._chats:
            schemas = self.tools.schemas if self._config.show_tools else []
            inner = self._policies[agent].open(agent, self.seed, schemas, self.thinking)
            self._chats[agent] = MeteredChat(inner, self.limits, Meter())
            instruction = self.thinking.instruction if self.thinking.mode == "on" else ""
            if system := "\n\n".join(filter(None, (self._config.system_prompt, instruction))):
                inner.add("system", system)
        return self._chats[agent]

    def can_serve(self, agent: str = POLICY) -> bool:
        """Whether the agent's policy can be served to a program; a script cannot."""
        self._check_agent(agent)
        return hasattr(self._policies[agent], "serve")

    @asynccontextmanager
    async def model_server(self, agent: str = POLICY) -> AsyncIterator[ModelServer]:
        """Serve the agent's model over HTTP, for a program that holds the conversation itself.

        At the end of the block, the conversation and its segments become the agent's part of this episode.

        Raises:
            ConfigError: the agent already has a conversation, or its policy cannot be served.
        """
        self._check_agent(agent)
        if agent in self._chats or agent in self._recorded:
            raise ConfigError(f"agent {agent!r} already has a conversation in this episode; serve it once, or chat")
        if not self.can_serve(agent):
            raise ConfigError(
                f"agent {agent!r} is played by a script, which cannot be served to a program; use lachesis eval or "
                "lachesis train"
            )
        policy = cast("Servable", self._policies[agent])
        async with policy.serve(agent, self.seed, self.limits) as server:
            try:
                yield server
            finally:
                self._recorded[agent] = recorded = await server.recorded()
                self.artifacts.setdefault("model", {})[agent] = dict(recorded.proof)

    async def call_tools(self, chat: Chat, calls: Sequence[ToolCall]) -> None:
        """Carry out ``calls`` in order and add their results to ``chat``."""
        for call in calls:
            if self._tool_calls >= self.limits.tool_calls:
                raise LimitReached(StopReason.TOOL_CALLS)
            self._tool_calls += 1
            result = await self.tools.call(call)
            self.metric("tool_errors", self._metrics.get("tool_errors", 0.0) + result.failed)
            content = shortened(result.content, self.limits.result_characters)
            chat.add("tool", content, name=result.name[:200], **_noted(call, result))

    def reward(self, label: str, score: float | Verdict, *, weight: float = 1.0, agent: str = POLICY) -> None:
        """Give ``agent`` a labelled part of its reward.

        The label must not be one of the rubric's. A ``bool`` or a ``Verdict`` says whether this part passed; a plain
        number does not, so it defines no success.
        """
        self._check_label(label, agent)
        verdict = as_verdict(score, f"the reward {label!r}")
        parts = (*self._rewards.get(agent, ()), Component(label, weight, verdict))
        self._rewards[agent] = Reward(parts).components

    def step_reward(
        self, label: str, score: float, *, weight: float = 1.0, total: Total = "sum", agent: str = POLICY
    ) -> None:
        """Score the agent's latest turn. A turn without a score counts as 0; several scores of one turn add up.

        The scores are only combined, by ``total``, into one part of the whole trajectory's reward; the verdict keeps
        them in ``steps``. They do not become advantages of single turns: ``turn_advantage`` gives those.
        """
        self._check_label(label, agent)
        turn = sum(map(is_reply, self.chat(agent).messages)) - 1
        number = _finite(score)
        if turn < 0 or number is None:
            raise ConfigError(
                f"step reward {label!r} needs a turn and a finite score: agent {agent!r} has had {turn + 1} turns, "
                f"and the score is {score!r}"
            )
        steps = self._steps.setdefault((agent, label), _Steps(weight, total, {}))
        steps.scores[turn] = steps.scores.get(turn, 0.0) + number

    def turn_advantage(self, value: float, *, agent: str = POLICY) -> None:
        """Set the advantage of the agent's latest turn; it is used as it is and never normalized.

        Once a value is set, the agent's reward no longer decides its advantages: in every attempt of the group, turns
        without a value have the advantage 0. A second value for the same turn replaces the first. A policy behind a
        URL has no tokens and ignores the value.

        Raises:
            ConfigError: the value is not a finite number that float32 can hold, or the agent has had no turn.
        """
        number = _finite(value)
        if number is None or abs(number) > _FLOAT32:
            raise ConfigError(
                f"the advantage of a turn must be a finite number of at most {_FLOAT32:.1e} (float32), found "
                f"{value!r:.80} for agent {agent!r}"
            )
        self.chat(agent).set_advantage(number)

    def metric(self, name: str, value: float) -> None:
        """Log a finite number that is not part of any reward."""
        number = _finite(value)
        if not isinstance(name, str):
            raise DataError(f"a metric's name is text, found {name!r:.80}; write episode.metric(name, value)")
        if number is None:
            raise DataError(f"metric {name!r} must be a finite number, found {value!r:.80}")
        self._metrics[name] = number

    @property
    def unanswered(self) -> str:
        """Why a reply never came although the environment went on without it; usually empty."""
        failures = (recorded.failure for recorded in self._recorded.values() if recorded.failure)
        return next(
            (why for chat in self._chats.values() for why in chat.meter.unanswered.values()), next(failures, "")
        )

    def _check_agent(self, agent: str) -> None:
        if agent not in self._policies:
            raise ConfigError(f"the environment has no agent {agent!r}; {nearest(agent, self._policies)}")

    def _check_label(self, label: str, agent: str) -> None:
        self._check_agent(agent)
        if not isinstance(label, str) or not label:
            raise ConfigError(f"a reward's label is a text, found {label!r:.80}; write episode.reward(label, score)")
        if label in RESERVED_LABELS:
            raise ConfigError(
                f"a reward cannot be labelled {label!r}, which names a number over all rewards; choose another"
            )
        if self._owned(label):
            raise ConfigError(f"the rubric already has a reward labelled {label!r}; choose another label")

    def _given(self) -> dict[str, Reward]:
        """The rewards that the episode itself gave, by agent."""
        rewards = dict(self._rewards)
        for (agent, label), steps in self._steps.items():
            verdict = steps.verdict(sum(map(is_reply, self.chat(agent).messages)))
            rewards[agent] = (*rewards.get(agent, ()), Component(label, steps.weight, verdict))
        return {agent: Reward(parts) for agent, parts in rewards.items()}

    def trajectory(
        self, environment: str, stop: StopReason, error: str | None, timings: Mapping[str, float]
    ) -> Trajectory:
        """The record of this episode; its only rewards are those that the episode itself gave."""
        recorded = self._recorded.values()
        segments: list[Segment] = [segment for chat in self._chats.values() for segment in chat.segments()]
        segments += [segment for record in recorded for segment in record.segments]
        if stop is StopReason.DONE:
            stop = next((record.stop for record in recorded if record.stop is not StopReason.DONE), stop)
        if stop is StopReason.DONE and any(chat.meter.last_stop == "length" for chat in self._chats.values()):
            stop = StopReason.LENGTH
        counts = {
            "turns": sum(chat.meter.turns for chat in self._chats.values())
            + sum(record.metrics.get("gateway/calls", 0.0) for record in recorded),
            "tool_calls": self._tool_calls,
            "segments": len(segments),
            "template_breaks": sum(chat.breaks for chat in self._chats.values()),
        }
        if self.thinking.budget:
            counts["forced_closings"] = sum(chat.meter.forced for chat in self._chats.values())
        if self._config.thinking.mode == "mixed":
            counts["thinking"] = int(self.thinking.mode == "on")
        messages = {agent: tuple(chat.messages) for agent, chat in self._chats.items()}
        served = {name: number for record in recorded for name, number in record.metrics.items()}
        return Trajectory(
            task=self._asked,
            environment=environment,
            messages=messages | {agent: record.messages for agent, record in self._recorded.items()},
            segments=tuple(segments),
            artifacts=self.artifacts,
            stop=stop,
            error=error,
            metrics={
                **{name: float(count) for name, count in counts.items()},
                **self._usage(),
                **served,
                **self._metrics,
            },
            timings=timings,
            rewards=self._given(),
        )

    def _usage(self) -> dict[str, float]:
        """The tokens of prompts and replies, and those of each agent if there are several; empty if none are known."""
        usage: dict[str, float] = {}
        for agent, chat in self._chats.items():
            for kind, count in (("prompt", chat.meter.prompt_tokens), ("completion", chat.meter.tokens)):
                if count:
                    usage[f"{kind}_tokens"] = usage.get(f"{kind}_tokens", 0.0) + count
                if count and len(self._chats) > 1:
                    usage[f"{agent}/{kind}_tokens"] = float(count)
        return usage


def _own(task: Task) -> Task:
    """A copy of a task with info of its own; what was checked once is not checked again."""
    own = copy.copy(task)
    object.__setattr__(own, "info", copy.deepcopy(task.info))
    return own


def _finite(value: Any) -> float | None:
    """``value`` as a float; None if it is not a finite number."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _noted(call: ToolCall, result: ToolResult) -> dict[str, Any]:
    """What the record of a call holds: its arguments, if they can be stored as JSON, and whether it failed."""
    noted: dict[str, Any] = {"error": True} if result.failed else {}
    try:
        check_json(call.arguments, "a call's arguments")
    except DataError:  # formats other than JSON can write nan and infinity
        return noted
    return {"arguments": call.arguments, **noted}


class _Steps(NamedTuple):
    """The scores of single turns under one label."""

    weight: float
    total: Total
    scores: dict[int, float]

    def verdict(self, turns: int) -> Verdict:
        """The verdict over ``turns`` turns; over more if a rewritten conversation has lost some."""
        turns = max(turns, *(turn + 1 for turn in self.scores))
        return Verdict.of_steps([self.scores.get(turn, 0.0) for turn in range(turns)], self.total)
