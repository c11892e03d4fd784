"""A trajectory: the record of one attempt at a task, from the first prompt to the reward."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from .errors import DataError
from .message import Message, check_message, is_reply
from .reward import Reward
from .rows.jsonl import check_json
from .segment import Segment
from .task import Task

SCHEMA_VERSION = 3
"""The version of the stored format; it increases whenever a field of the record changes."""

POLICY = "policy"
"""The name of the agent in an environment with one agent."""


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"
    """The environment's ``run`` returned."""
    LENGTH = "length"
    """A reply reached its token limit, or the context was full."""
    TURNS = "turns"
    """The limit of turns was reached."""
    TOOL_CALLS = "tool_calls"
    """The limit of tool calls was reached."""
    SECONDS = "seconds"
    """The time limit was reached."""
    ENVIRONMENT_ERROR = "environment_error"
    """The environment's code raised; the trajectory is scored as far as it got, or dropped."""
    INFRA_ERROR = "infra_error"
    """Lachesis itself failed; the trajectory is not scored."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One attempt at a task. Each stage makes a copy with more fields filled in.

    Attributes:
        task: the task.
        environment: the label of the environment in this run.
        messages: agent → its conversation, as text.
        segments: the segments of tokens, in the order in which they were made.
        artifacts: JSON that the episode leaves for its verifiers.
        stop: why the episode ended.
        error: message, file and line of an exception, None if none was raised.
        metrics: name → finite number.
        timings: stage → seconds.
        rewards: agent → reward; empty until the trajectory is scored.
    """

    task: Task
    environment: str = ""
    messages: Mapping[str, tuple[Message, ...]] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    artifacts: Mapping[str, Any] = field(default_factory=dict)
    stop: StopReason = StopReason.DONE
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    rewards: Mapping[str, Reward] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for conversation in self.messages.values():
            for message in conversation:
                if len(check_message(message)) > 2:  # more than role and content
                    check_json(message, f"a message of an episode (task {self.task.id})")
        left: object = self.artifacts
        if not isinstance(left, Mapping):
            found = f"{type(left).__name__} (task {self.task.id})"
            raise DataError(f"an episode's artifacts are a dict, found {found}; put each value into it under a name")
        if self.artifacts:
            check_json(dict(self.artifacts), f"what an episode leaves in its artifacts (task {self.task.id})")
        for name, value in self.metrics.items():
            if not isinstance(name, str):
                raise DataError(f"a metric's name is text, found {name!r} (task {self.task.id})")
            if not math.isfinite(value):
                raise DataError(f"metric {name!r} is finite, found {value!r} (task {self.task.id})")

    @property
    def scored(self) -> bool:
        """Whether it has rewards, and all of them have a total."""
        return bool(self.rewards) and all(reward.scored for reward in self.rewards.values())

    def completion(self, agent: str = POLICY) -> str:
        """The raw text of the agent's last reply; empty if there is none."""
        for message in reversed(self.messages.get(agent, ())):
            if is_reply(message):
                return str(message["content"])
        return ""

    def with_rewards(self, rewards: Mapping[str, Reward]) -> "Trajectory":
        """A copy of this trajectory with ``rewards``."""
        return replace(self, rewards=dict(rewards))

    def to_json(self) -> dict[str, Any]:
        """The trajectory as a JSON object, with its schema version."""
        return {
            "schema": SCHEMA_VERSION,
            "task": self.task.to_json(),
            "environment": self.environment,
            "messages": {agent: list(messages) for agent, messages in self.messages.items()},
            "segments": [segment.to_json() for segment in self.segments],
            "artifacts": dict(self.artifacts),
            "stop": self.stop.value,
            "error": self.error,
            "metrics": dict(self.metrics),
            "timings": dict(self.timings),
            "rewards": {agent: reward.to_json() for agent, reward in self.rewards.items()},
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Trajectory":
        """The trajectory that ``to_json`` wrote.

        Raises:
            DataError: it has another schema version, or is not a stored trajectory.
        """
        if row.get("schema") != SCHEMA_VERSION:
            raise DataError(
                f"trajectory schema {row.get('schema')!r} is not the {SCHEMA_VERSION} that this version reads"
            )
        try:
            return cls(
                task=Task.from_json(row["task"]),
                environment=row["environment"],
                messages={agent: tuple(messages) for agent, messages in row["messages"].items()},
                segments=tuple(Segment.from_json(segment) for segment in row["segments"]),
                artifacts=row["artifacts"],
                stop=StopReason(row["stop"]),
                error=row["error"],
                metrics=row["metrics"],
                timings=row["timings"],
                rewards={agent: Reward.from_json(given) for agent, given in row["rewards"].items()},
            )
        except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise DataError(f"not a stored trajectory: {type(error).__name__}: {error}") from None
