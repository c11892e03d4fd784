"""A short conversation in place of a long one, for templates that write the same after a reply to either."""

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from ...verifiers.message import ROLES, Message

_MOST_SHAPES, _MOST_WRONG = 4096, 64
_Kind = tuple[Hashable, ...]


@dataclass(frozen=True)
class StandIn:
    """What a template is shown instead of the whole conversation.

    Attributes:
        messages: the system prompt, the last question, and what followed it, without repetitions.
        shape: what a template may tell apart in the whole conversation, besides the texts in ``messages``.
    """

    messages: list[Message]
    shape: Hashable


class Trust:
    """Decides when a shortcut is compared with the long way: at its 1st, 2nd, 4th, 8th … use, for each shape.

    A shape for which the shortcut was wrong once is not trusted again, and after many of them none is.
    """

    def __init__(self) -> None:
        self._uses: dict[Hashable, int] = {}
        self._wrong: set[Hashable] = set()

    def trusts(self, shape: Hashable) -> bool:
        """Whether the shortcut may be tried."""
        return len(self._wrong) < _MOST_WRONG and shape not in self._wrong

    def due(self, shape: Hashable) -> bool:
        """Count one use, and return whether it is to be compared."""
        if len(self._uses) >= _MOST_SHAPES and shape not in self._uses:
            self._uses.clear()
        uses = self._uses[shape] = self._uses.get(shape, 0) + 1
        return uses & (uses - 1) == 0

    def compared(self, shape: Hashable, *, equal: bool) -> None:
        """Note the result of a comparison."""
        if not equal:
            self._wrong.add(shape)


def stand_in(before: Sequence[Message], new: Sequence[Message], tools: int) -> StandIn | None:
    """The stand-in for the conversation ``before``, which a reply and ``new`` follow; None if there is none.

    Kept are the system prompt, the last question, each kind of exchange after it once, and the last exchange, because
    templates look at these: they drop the reasoning before the last question, or join results of tools to one turn.

    Args:
        before: the conversation up to the reply.
        new: the messages after the reply.
        tools: how many there are; if there are several, the same messages with one of them are shorter, too.
    """
    try:
        kinds, told = _kinds(before), _kinds(new)
        if not {kind[0] for kind in kinds} <= ROLES:
            return None
    except (AttributeError, KeyError, TypeError):  # a message is none; rendering the whole says which
        return None
    systems = sum(1 for _ in itertools.takewhile(lambda message: message["role"] == "system", before))
    asked = next((at for at in range(len(before) - 1, systems - 1, -1) if _is_question(before[at])), systems)
    kept = [*range(systems), *_exchanges(kinds, asked)]
    if len(kept) == len(before) and tools < 2:
        return None
    left_out = len(before) - len(kept)
    dropped = frozenset(kinds) if left_out else None
    shape = (dropped, left_out % 2, _without_runs(kinds[at] for at in kept), _without_runs(told))
    return StandIn([before[at] for at in kept], shape)


def _exchanges(kinds: Sequence[_Kind], start: int) -> list[int]:
    """The positions from ``start`` on, without exchanges (an assistant's message and what follows it) seen before."""
    starts = [at for at in range(start, len(kinds)) if at == start or kinds[at][0] == "assistant"]
    seen: set[tuple[_Kind, ...]] = set()
    kept: list[int] = []
    for begun, ended in itertools.pairwise([*starts, len(kinds)]):
        kind = tuple(kinds[begun:ended]) if ended - begun < 3 else _without_runs(kinds[begun:ended])
        if kind not in seen or ended == len(kinds):
            kept += range(begun, ended)
        seen.add(kind)
    return kept


def _kinds(messages: Sequence[Message]) -> list[_Kind]:
    """What templates tell apart in each message: role and fields, reasoning, results of tools in a user's turn."""
    return [
        (
            message["role"],
            (content := message["content"]).startswith("<"),
            not content,
            "think>" in content and ("<think>" in content, "</think>" in content),
            "name" in message,
            "tool_calls" in message and bool(message["tool_calls"]),
        )
        for message in messages
    ]


def _is_question(message: Message) -> bool:
    return message["role"] == "user" and not message["content"].startswith("<tool_response>")


def _without_runs(kinds: Iterable[_Kind]) -> tuple[_Kind, ...]:
    """The kinds, each of them at most twice in a row."""
    return tuple(kind for _, run in itertools.groupby(kinds) for kind in itertools.islice(run, 2))
