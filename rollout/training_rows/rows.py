"""The rows of one conversation or of one pair: messages, prompt and completion, tokens with labels, or a preference."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...verifiers.message import Message
from ...verifiers.segment import Segment
from ...verifiers.trajectory import Trajectory
from .candidate import Candidate
from .conversation import Style, row_messages
from .pairs import Pair

Row = dict[str, Any]
Tools = Sequence[dict[str, Any]]

UNTRAINED = -100
"""The label of a token that is not trained."""


def about(candidate: Candidate, task: str, source: str) -> dict[str, Any]:
    """The ``metadata`` of a row: where its conversation comes from, and what it earned."""
    place = candidate.place
    return {
        "environment": candidate.asked.environment,
        "task": task,
        "agent": place.agent,
        "attempt": place.attempt,
        "reward": candidate.total,
        "success": candidate.success,
        "components": dict(candidate.scores),
        "stop": candidate.stop.value,
        "source": source,
        "step": place.step,
    }


def messages_row(messages: Sequence[Message], style: Style, tools: Tools) -> Row:
    """One row with the whole conversation."""
    return {"messages": row_messages(messages, style), **_with(tools)}


def completion_rows(messages: Sequence[Message], style: Style, tools: Tools) -> Iterator[Row]:
    """Yield a row for each reply of the policy: the messages before it, and the reply alone as the completion."""
    rows = row_messages(messages, style)
    for place, row in enumerate(rows):
        if row["train"]:
            yield {"prompt": _plain(rows[:place]), "completion": _plain([row]), **_with(tools)}


def token_rows(made: Trajectory, agent: str) -> Iterator[Row]:
    """Yield a row for each segment of the agent that has tokens to train."""
    for segment in made.segments:
        if segment.agent == agent and segment.trainable and segment.mask.any():
            yield token_row(segment)


def token_row(segment: Segment) -> Row:
    """The segment's tokens as ``input_ids``, and as ``labels`` those that enter the loss; the others are -100."""
    labels = np.where(segment.mask, segment.tokens, UNTRAINED)
    return {"input_ids": segment.tokens.tolist(), "labels": labels.tolist()}


def preference_row(
    pair: Pair, chosen: Sequence[Message], rejected: Sequence[Message], style: Style, tools: Tools
) -> Row | None:
    """The two replies in which the conversations first differ, after what they have in common.

    Messages after these replies are left out: tool results and users must not get a loss, and DPO trainers give one to
    everything after the prompt.

    Returns:
        None if the replies are equal once their reasoning is stripped or shortened.
    """
    one, other = (row_messages(messages[: pair.fork + 1], style) for messages in (chosen, rejected))
    if one[-1] == other[-1]:
        return None
    return {"prompt": _plain(one[:-1]), "chosen": _plain(one[-1:]), "rejected": _plain(other[-1:]), **_with(tools)}


def _plain(rows: Sequence[Row]) -> list[Row]:
    """The messages without ``train``: the column tells what is trained."""
    return [{key: value for key, value in row.items() if key != "train"} for row in rows]


def _with(tools: Tools) -> Row:
    return {"tools": list(tools)} if tools else {}
