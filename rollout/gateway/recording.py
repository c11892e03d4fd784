"""The recording of an episode: its conversations, its training segments, and the proof that they are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...verifiers.message import Message
from ...verifiers.secrets import REDACTED
from ...verifiers.segment import Segment
from ...verifiers.trajectory import StopReason
from ..chats.strand import Strand
from .tree import TEMPERATURE, Node, Tree

AFTER_STOP, UNDELIVERED = "after a stop string", "not delivered"
"""Why tokens are not trained, besides the reasons of ``Node.untrained``."""

UNTRAINED, OLDER = "after an untrained reply", "older weights"
"""Why a segment began, besides the reasons of ``Node.began``."""


@dataclass(frozen=True)
class Proof:
    """Accounts for every sampled token.

    Attributes:
        calls: that were answered.
        retried: calls that were answered with what had been sampled for the same call before.
        cancelled: calls that ended while their reply was sampled; the engine keeps none of those tokens.
        refused: calls that were answered with an error.
        sampled: tokens that the engine returned.
        trained: tokens in the loss, each in exactly one segment.
        untrained: why other tokens are not trained → how many.
        began: why a segment began → how many.
    """

    calls: int = 0
    retried: int = 0
    cancelled: int = 0
    refused: int = 0
    sampled: int = 0
    trained: int = 0
    untrained: Mapping[str, int] = field(default_factory=dict)
    began: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every sampled token is trained or accounted for."""
        return self.sampled == self.trained + sum(self.untrained.values())

    def to_json(self) -> dict[str, Any]:
        """The proof as JSON."""
        counts = {name: getattr(self, name) for name in ("calls", "retried", "cancelled", "refused", "sampled")}
        return {**counts, "trained": self.trained, "untrained": dict(self.untrained), "began": dict(self.began)}


@dataclass(frozen=True)
class Branch:
    """One conversation, from its beginning to a reply that no other continues.

    Attributes:
        messages: as in ``Trajectory.messages``: each reply as the model wrote it, calls in Hermes' form.
        lineage: 0 for the agent that called first, 1 and so on for its subagents.
        began: why it left the conversations before it, such as ``fork`` or ``rewritten``.
    """

    messages: tuple[Message, ...]
    lineage: int
    began: str


@dataclass(frozen=True, eq=False)
class Recording:
    """What an episode leaves.

    Attributes:
        messages: the conversation that the main agent had last.
        branches: all conversations, in the order in which they ended.
        segments: for the trainer; empty if the model is behind a URL.
        proof: accounts for every sampled token.
        stop: ``turns`` or ``length`` if a limit was reached, else ``done``.
        failure: why the engine or the moderation hook failed, if no call was answered afterwards: then the episode
            must not be scored.
        metrics: name → number, for ``Trajectory.metrics``.
    """

    messages: tuple[Message, ...] = ()
    branches: tuple[Branch, ...] = ()
    segments: tuple[Segment, ...] = ()
    proof: Proof = Proof()
    stop: StopReason = StopReason.DONE
    failure: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


def segments_of(tree: Tree, agent: str) -> tuple[list[Segment], Counter[str], Counter[str]]:
    """The segments of all replies, why others are not trained (in tokens), and why segments began.

    A reply continues the segment of the one whose ids it continues, if no other does, the temperature is the same and
    the weights are not older. Otherwise it begins a segment in which everything before it is context.
    """
    untrained: Counter[str] = Counter()
    began: Counter[str] = Counter()
    strands: list[Strand] = []
    ends: dict[Node | None, Strand] = {}  # the last reply of each strand
    for node in tree.in_order():
        if node.completion is None:
            continue
        untrained[AFTER_STOP] += node.cut
        if node.untrained or not node.completion.tokens.size:
            untrained[node.untrained] += int(node.completion.tokens.size)
            continue
        before, strand = node.before, ends.get(node.before)
        reason = node.began
        if strand and strand.temperature != node.temperature:
            strand, reason = None, TEMPERATURE
        elif before and before.untrained:
            reason = UNTRAINED
        elif strand and before and node.completion.versions[0] < before.version:
            strand, reason = None, OLDER
        if strand:
            del ends[before]
        else:
            strand = Strand(node.prompt())
            strands.append(strand)
            began[reason] += 1
        strand.extend(node.prompt(), node.completion, node.temperature)
        ends[node] = strand
    return [strand.segment(agent, True, "sampled", False) for strand in strands], +untrained, began


def branches_of(tree: Tree) -> tuple[Branch, ...]:
    """Every conversation of the tree, to its last reply."""
    first: dict[Node, Node] = {}  # the reply that continued another first
    for node in tree.nodes:
        if node.parent:
            first.setdefault(node.parent, node)

    def began(node: Node) -> str:
        while node.parent and first[node.parent] is node:
            node = node.parent
        return node.began

    return tuple(Branch(node.record, node.lineage, began(node)) for node in tree.leaves())


def main_messages(tree: Tree) -> tuple[Message, ...]:
    """The conversation with the latest reply that the agent that called first was given."""
    given = [node for node in tree.nodes if node.untrained != UNDELIVERED]
    first = min((node.lineage for node in given), default=0)
    return next((node.record for node in reversed(given) if node.lineage == first), ())


def without_key(key: str, message: Message) -> Message:
    """A copy of the message without the key, which a program may print; the message itself is shared with calls."""
    return cast("Message", _redacted(key, message))


def _redacted(key: str, value: object) -> object:
    if isinstance(value, str):
        return value.replace(key, REDACTED)
    if isinstance(value, dict):
        return {name: _redacted(key, inner) for name, inner in value.items()}
    return [_redacted(key, inner) for inner in value] if isinstance(value, list) else value
