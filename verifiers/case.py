"""What a verifier gets to see: one agent's part in one finished trajectory."""

from dataclasses import dataclass, field
from typing import Any

from .message import Message
from .reward import Reward
from .sandbox.protocol import Sandbox
from .sandbox.shared import shared_sandbox
from .task import Task
from .trajectory import POLICY, Trajectory


@dataclass(frozen=True)
class Case:
    """Serialisable data only, so that every score can be computed again offline.

    Attributes:
        trajectory: the finished attempt.
        agent: whose part is judged.
        params: parameters of a verifier that the task itself names.
        expected: what is expected, alone in a tuple, where such a verifier expects something else than the task.
    """

    trajectory: Trajectory
    agent: str = POLICY
    params: dict[str, Any] = field(default_factory=dict)
    expected: tuple[Any, ...] = ()

    @property
    def sandbox(self) -> Sandbox:
        """Where untrusted programs run: this process's sandbox, as its configuration says."""
        return shared_sandbox()

    @property
    def task(self) -> Task:
        """What was asked."""
        return self.trajectory.task

    @property
    def answer(self) -> Any:
        """What was expected."""
        return self.expected[0] if self.expected else self.trajectory.task.answer

    @property
    def reward(self) -> Reward:
        """What the agent has earned so far: all but the group rewards, for those that judge groups; else nothing."""
        return self.trajectory.rewards.get(self.agent, Reward())

    @property
    def artifacts(self) -> Any:
        """What the episode left for its verifiers."""
        return self.trajectory.artifacts

    @property
    def messages(self) -> tuple[Message, ...]:
        """The agent's conversation."""
        return tuple(self.trajectory.messages.get(self.agent, ()))

    @property
    def completion(self) -> str:
        """The raw text of the agent's last reply, ``<think>`` and all."""
        return self.trajectory.completion(self.agent)
