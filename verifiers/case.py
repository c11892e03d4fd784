"""The input of a verifier: one agent's part in one finished trajectory."""

from dataclasses import dataclass, field
from typing import Any

from .message import Message
from .reward import Reward
from .sandbox.protocol import Sandbox
from .sandbox.shared import shared_sandbox
from .task import Task
from .text.visible import visible
from .trajectory import POLICY, Trajectory


@dataclass(frozen=True)
class Case:
    """The input of a verifier. It is serialisable data only, so that every score can be computed again offline.

    Attributes:
        trajectory: the finished attempt.
        agent: the agent whose part is judged.
        params: the parameters that a task gives to its own verifier.
        expected: a tuple with the expected answer of such a verifier; empty if it is the task's answer.
    """

    trajectory: Trajectory
    agent: str = POLICY
    params: dict[str, Any] = field(default_factory=dict)
    expected: tuple[Any, ...] = ()

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of this process, which runs untrusted programs."""
        return shared_sandbox()

    @property
    def task(self) -> Task:
        """The task."""
        return self.trajectory.task

    @property
    def answer(self) -> Any:
        """The expected answer."""
        return self.expected[0] if self.expected else self.trajectory.task.answer

    @property
    def reward(self) -> Reward:
        """The agent's reward so far: complete but for group rewards while groups are judged, and empty before."""
        return self.trajectory.rewards.get(self.agent, Reward())

    @property
    def artifacts(self) -> Any:
        """The JSON that the episode left for its verifiers."""
        return self.trajectory.artifacts

    @property
    def messages(self) -> tuple[Message, ...]:
        """The agent's conversation."""
        return tuple(self.trajectory.messages.get(self.agent, ()))

    @property
    def completion(self) -> str:
        """The raw text of the agent's last reply, including its ``<think>`` part."""
        return self.trajectory.completion(self.agent)

    @property
    def visible(self) -> str:
        """The completion without characters that nobody sees, for verifiers that count, search or compare text."""
        return visible(self.completion)
