"""A row of the viewer: what its lists show of one stored trajectory, and the filter that chooses among rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ...verifiers.errors import DataError
from ...verifiers.reward import Reward
from ...verifiers.trajectory import POLICY

OPENING = 140
"""Most characters of a prompt or a reply that a list shows."""


class Row(msgspec.Struct, gc=False):
    """What a list shows of one trajectory.

    Attributes:
        step: the step that trained it; 0 in an evaluation.
        group: the group's number in a run, the task's number in an evaluation.
        attempt: the attempt at its task.
        environment: the environment's label.
        task: the task's id.
        asked: the beginning of the task's last message.
        stop: why the episode ended.
        totals: agent and total reward of each scored agent.
        parts: label and unweighted score of each component; the label of another agent than the policy begins with its
            name, as in an evaluation's summary.
        success: whether the first agent succeeded; None if that is undefined.
        turns: replies of all agents.
        reply: the beginning of the last reply.
        error: the exception with its place, if there was one.
        place: where the source finds the trajectory again.
    """

    step: int
    group: int
    attempt: int
    environment: str
    task: str
    asked: str
    stop: str
    totals: tuple[tuple[str, float], ...]
    parts: tuple[tuple[str, float | None], ...]
    success: bool | None
    turns: int
    reply: str
    error: str
    place: int

    @property
    def total(self) -> float | None:
        """The total reward of the first agent; None if it has none."""
        return self.totals[0][1] if self.totals else None


class _Task(msgspec.Struct):
    id: Any = ""
    prompt: Any = ""


class Line(msgspec.Struct):
    """The parts of a stored trajectory's JSON that a row needs; the decoder skips the others, such as tokens."""

    attempt: int
    environment: str
    stop: str
    messages: dict[str, list[dict[str, Any]]]
    rewards: dict[str, Any]
    task: _Task
    step: int = 0
    group: int = 0
    error: str | None = None


_decode = msgspec.json.Decoder(Line).decode


def decode_line(line: bytes) -> Line:
    """Decode one stored trajectory.

    Raises:
        DataError: it is none.
    """
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"not a stored trajectory: {error}") from None


def row_of(line: Line, place: int, group: int | None = None) -> Row:
    """The row of a stored trajectory.

    Args:
        line: the trajectory.
        place: where the source finds it again.
        group: its group's number, if the line does not have it.

    Raises:
        DataError: its rewards cannot be read.
    """
    totals, parts, success = _rewards(line.rewards)
    replies = [
        str(message.get("content", ""))
        for messages in line.messages.values()
        for message in messages
        if message.get("role") == "assistant" and not message.get("given")
    ]
    return Row(
        step=line.step,
        group=line.group if group is None else group,
        attempt=line.attempt,
        environment=line.environment,
        task=str(line.task.id),
        asked=_opening(_last_text(line.task.prompt)),
        stop=line.stop,
        totals=totals,
        parts=parts,
        success=success,
        turns=len(replies),
        reply=_opening(replies[-1]) if replies else "",
        error=(line.error or "")[:400],
        place=place,
    )


def _opening(text: str) -> str:
    """The beginning of ``text`` on one line."""
    return " ".join(text[: 4 * OPENING].split())[:OPENING]


def _last_text(prompt: Any) -> str:
    """The text of a prompt, or of its last message."""
    last = prompt[-1] if isinstance(prompt, list) and prompt else prompt
    return str(last.get("content", "")) if isinstance(last, dict) else str(last)


def _rewards(
    found: Mapping[str, Any],
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float | None], ...], bool | None]:
    """Totals, parts and success, as ``Row`` has them."""
    try:
        rewards = {agent: Reward.from_json(given) for agent, given in found.items()}
        totals = tuple((agent, reward.total) for agent, reward in rewards.items() if reward.scored)
        parts = tuple(
            (part.label if agent == POLICY else f"{agent}/{part.label}", part.verdict.score)
            for agent, reward in rewards.items()
            for part in reward.components
        )
        return totals, parts, next((reward.success for reward in rewards.values()), None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"rewards that cannot be read: {error}") from None


@dataclass(frozen=True)
class Filter:
    """Which rows a list shows; an empty field chooses all.

    Attributes:
        step: of this step only.
        group: of this group only.
        environment: with this label.
        stop: with this stop reason.
        task: of the task with this id.
        success: ``yes``, ``no`` or ``undefined``.
        least: with at least this total reward.
        most: with at most this total reward.
        error: whose error begins with this text; ``*`` for any error.
    """

    step: int | None = None
    group: int | None = None
    environment: str = ""
    stop: str = ""
    task: str = ""
    success: str = ""
    least: float | None = None
    most: float | None = None
    error: str = ""

    def takes(self, row: Row) -> bool:
        """Whether the list shows ``row``."""
        total = row.total
        return (
            self.step in (None, row.step)
            and self.group in (None, row.group)
            and self.environment in ("", row.environment)
            and self.stop in ("", row.stop)
            and self.task in ("", row.task)
            and (not self.success or self.success == _WORDS[row.success])
            and (self.least is None or (total is not None and total >= self.least))
            and (self.most is None or (total is not None and total <= self.most))
            and (not self.error or (bool(row.error) and (self.error == "*" or row.error.startswith(self.error))))
        )


_WORDS = {True: "yes", False: "no", None: "undefined"}
