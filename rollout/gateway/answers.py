"""The latest answers of an episode, to be given again to a client that retries, or continued by their names."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from ...verifiers.message import Message
from ..service.engine.requests import Refusal
from .call import Answer, Call, as_message
from .recording import UNDELIVERED

_REMEMBERED = 256
_BYTES = 64 << 20
"""The most bytes of the bodies whose conversations a later call may name."""


@dataclass
class _Given:
    """An answer, and whether the agent was given it."""

    answer: Answer
    delivered: bool | None = None
    """None while it is on its way."""


class Answers:
    """Remembers a bounded number of answers."""

    def __init__(self) -> None:
        self._given: OrderedDict[bytes, _Given] = OrderedDict()
        self._kept: OrderedDict[str, tuple[tuple[Message, ...], int]] = OrderedDict()  # with the bytes of its body
        self._bytes = 0  # of all of them

    def again(self, digest: bytes, *, retried: bool) -> Answer | None:
        """The earlier answer to an equal call, if the agent did not get it, or says that it retries."""
        given = self._given.get(digest)
        return given.answer if given and (retried or given.delivered is False) else None

    def remember(self, call: Call, answer: Answer) -> None:
        """Keep an answer that is on its way."""
        self._given[call.digest] = _Given(answer)
        self._given.move_to_end(call.digest)
        if call.kept and call.messages:
            own = call.messages[1:] if call.instructed else call.messages
            self._kept[answer.id] = (*own, as_message(answer.choices[0])), call.size
            self._bytes += call.size
        while len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        while len(self._kept) > _REMEMBERED or (self._bytes > _BYTES and len(self._kept) > 1):
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def delivered(self, call: Call, answer: Answer, *, whole: bool) -> None:
        """Note whether the agent was given an answer, and that its replies may be trained if so."""
        given = self._given.get(call.digest)
        if given and given.answer is answer:  # not that to an equal call at the same time
            given.delivered = given.delivered or whole
        for choice in answer.choices:
            if whole and choice.node and choice.node.untrained == UNDELIVERED:
                choice.node.untrained = ""

    def whole(self, call: Call) -> Call:
        """The call with the messages of the conversation that it continues by name.

        Raises:
            Refusal: the name is not known.
        """
        if not call.previous:
            return call
        if call.previous not in self._kept:
            message = f"the response {call.previous[:40]!r} is not known here; send the whole conversation"
            raise Refusal(message, code="previous_response_not_found", param="previous_response_id")
        first = 1 if call.instructed else 0
        return replace(call, messages=(*call.messages[:first], *self._kept[call.previous][0], *call.messages[first:]))
