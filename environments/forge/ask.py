"""How the model nodes of a walk reach a model: policies, the chats of an episode, or the nodes' demonstrations."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ...verifiers.errors import ConfigError
from ...verifiers.message import Message
from ...verifiers.trajectory import POLICY
from ..chat import Policy, Reply, read_reply
from ..episode import Episode
from .fields import Record

if TYPE_CHECKING:
    from .model_node import ModelNode

HELPER = "helper"
"""The agent that plays the model calls that are not trained."""


class Ask(Protocol):
    """Sends the prompt of a model node to a model."""

    async def __call__(self, node: "ModelNode", record: Record, messages: Sequence[Message]) -> Reply:
        """The reply to ``messages``, which ``node`` made of ``record``."""
        ...


async def no_model(node: "ModelNode", record: Record, messages: Sequence[Message]) -> Reply:
    """Raise ``ConfigError``: there is no model."""
    raise ConfigError(f"node {node.name!r} asks a model; give walk an `ask`, as in PolicyAsk(TextPolicy(…), seed=(0,))")


class PolicyAsk:
    """Asks policies; each call is a conversation of its own.

    Args:
        policies: one for all calls, or one for ``policy`` and one for ``helper``, which gets the calls of nodes that
            are not trainable.
        seed: of the walk; each call adds its number.
    """

    def __init__(self, policies: Policy | Mapping[str, Policy], seed: tuple[int, ...]) -> None:
        self._policies = policies if isinstance(policies, Mapping) else {POLICY: policies, HELPER: policies}
        self._seed = seed
        self._calls = 0

    async def __call__(self, node: "ModelNode", record: Record, messages: Sequence[Message]) -> Reply:
        """The reply of the node's agent."""
        if node.agent not in self._policies:
            raise ConfigError(f"node {node.name!r} asks the agent {node.agent!r}; give policies one of that name")
        self._calls += 1
        chat = self._policies[node.agent].open(node.agent, (*self._seed, self._calls))
        for message in messages:
            chat.add(**message)
        return await chat.reply(**node.sampling)


class EpisodeAsk:
    """Asks the agents of an episode; each call begins a new conversation, and a new training sample."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._system: dict[str, list[Message]] = {}

    async def __call__(self, node: "ModelNode", record: Record, messages: Sequence[Message]) -> Reply:
        """The reply of the node's agent."""
        chat = self._episode.chat(node.agent)
        system = self._system.setdefault(node.agent, list(chat.messages))
        chat.rewrite(_with_one_system([*system, *messages]))
        return await chat.reply(**node.sampling)


class DemonstrationAsk:
    """Answers with the demonstrations of the nodes, and keeps them by agent in ``replies``."""

    def __init__(self) -> None:
        self.replies: dict[str, list[str]] = {}

    async def __call__(self, node: "ModelNode", record: Record, messages: Sequence[Message]) -> Reply:
        """The node's demonstration; raises ``ConfigError`` if it has none."""
        if node.demonstration is None:
            raise ConfigError(f"node {node.name!r} has no demonstration; give ModelNode demonstration=record -> reply")
        said = node.demonstration(record)
        self.replies.setdefault(node.agent, []).append(said)
        return read_reply(said, stop="stop", tokens=0)


def _with_one_system(messages: list[Message]) -> list[Message]:
    """The messages with two system messages at their beginning joined; many chat templates take only one."""
    if [message["role"] for message in messages[:2]] != ["system", "system"]:
        return messages
    first, second, *rest = messages
    return [{"role": "system", "content": f"{first['content']}\n\n{second['content']}"}, *rest]
