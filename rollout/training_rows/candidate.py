"""A candidate: what the selection must know of one agent's conversation in a stored trajectory."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from ...environments.shipped.skills.written import written_skill
from ...verifiers.errors import DataError
from ...verifiers.message import Message, is_reply
from ...verifiers.trajectory import StopReason, Trajectory
from ..store import Stored
from .similarity import Sketch, sketch

Kind = Literal["messages", "completion", "tokens", "preference", "skills"]
"""What a row holds: a conversation, a reply, the tokens of a segment, two replies to compare, or a skill's making."""


class Place(NamedTuple):
    """Where a conversation is: the number of its source, its place there, and its agent."""

    source: int
    step: int
    group: int
    attempt: int
    agent: str


class Asked(NamedTuple):
    """What candidates must have in common to be compared: environment, hash of the task, agent."""

    environment: str
    task: str
    agent: str


class Turn(NamedTuple):
    """One message: whether the policy wrote it, a digest of it, and its length in characters."""

    reply: bool
    digest: bytes
    length: int


class Candidate(NamedTuple):
    """One agent's conversation.

    Attributes:
        place: where it is.
        asked: its task.
        problem: why no row can be made of it, whatever is asked for; empty if one can.
        total: the agent's total reward; 0 if there is a problem.
        success: ``Reward.success``.
        scores: label → unweighted score of each component that has one.
        stop: why the episode ended.
        turns: the messages.
        text: a sketch of the replies; None unless it was asked for.
    """

    place: Place
    asked: Asked
    problem: str
    total: float
    success: bool | None
    scores: Mapping[str, float]
    stop: StopReason
    turns: tuple[Turn, ...]
    text: Sketch | None

    @property
    def digest(self) -> bytes:
        """A digest of the whole conversation; equal conversations have the same."""
        return hashlib.blake2b(b"".join(turn.digest for turn in self.turns), digest_size=16).digest()


def candidates_of(source: int, stored: Stored, kind: Kind, sketched: bool) -> Iterator[Candidate]:
    """Yield a candidate for each agent of a trajectory.

    Args:
        source: the number of the trajectory's source.
        stored: the trajectory.
        kind: of the rows that are wanted.
        sketched: whether texts will be compared.
    """
    made = stored.trajectory
    for agent, messages in made.messages.items():
        problem = _problem(made, agent, messages, kind)
        reward = made.rewards.get(agent)
        known = reward if reward and not problem else None
        replies = "\n".join(message["content"] for message in messages if is_reply(message))
        yield Candidate(
            Place(source, stored.step, stored.group, stored.attempt, agent),
            Asked(made.environment, made.task.hash, agent),
            problem,
            known.total if known else 0.0,
            known.success if known else None,
            {part.label: part.verdict.score for part in known.components if part.verdict.score is not None}
            if known
            else {},
            made.stop,
            tuple(_turn(message) for message in messages),
            sketch(replies) if sketched and not problem else None,
        )


def _problem(made: Trajectory, agent: str, messages: tuple[Message, ...], kind: Kind) -> str:
    reward = made.rewards.get(agent)
    if not made.scored or reward is None:
        return "not scored"
    if not reward.components and not reward.gate:
        return "its agent has no reward"
    if not any(map(is_reply, messages)):
        return "no reply"
    if kind == "tokens":
        own = [segment for segment in made.segments if segment.agent == agent and segment.trainable]
        return "" if any(segment.mask.any() for segment in own) else "no tokens to train"
    if kind == "skills":
        try:
            written_skill(made)
        except DataError as error:
            return str(error)
    return "shows images" if any(message.get("images") for message in messages) else ""


def _turn(message: Message) -> Turn:
    shown = {key: value for key, value in message.items() if key not in ("arguments", "error")}
    digest = hashlib.blake2b(json.dumps(shown, sort_keys=True).encode(), digest_size=16).digest()
    return Turn(is_reply(message), digest, len(message["content"]))
