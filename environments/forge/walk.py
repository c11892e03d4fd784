"""A walk: what one way through a graph made of a document, the models that it asked, and why it ended."""

from dataclasses import dataclass
from typing import Any, Literal

from ...verifiers.message import Message
from .fields import Record

Stop = Literal["finished", "dead_end", "postcondition"]


@dataclass(frozen=True)
class Call:
    """One model call.

    Attributes:
        place: the node that asked.
        agent: the agent that was asked.
        messages: the prompt.
        reply: the whole reply, with its reasoning.
        failure: why the reply could not be used; empty if it was.
    """

    place: str
    agent: str
    messages: tuple[Message, ...]
    reply: str
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """The call as a JSON object."""
        row = {"place": self.place, "agent": self.agent, "messages": list(self.messages), "reply": self.reply}
        return {**row, "failure": self.failure}


@dataclass(frozen=True)
class Walk:
    """One way through a graph.

    Attributes:
        record: the fields that the graph gives if the walk finished, otherwise those that there were at its end.
        path: the places that it passed, in order; those in an inner graph have its name before them.
        calls: the model calls, failed tries included.
        stop: ``finished``; ``dead_end``: no precondition of a next node held; ``postcondition``: a node used up its
            tries.
        place: where it ended.
        reason: why it did not finish, in one line.
    """

    record: Record
    path: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    stop: Stop = "finished"
    place: str = ""
    reason: str = ""

    @property
    def finished(self) -> bool:
        """Whether it came to the target."""
        return self.stop == "finished"

    @property
    def ended(self) -> str:
        """How and where it ended, for counting."""
        return self.stop if self.finished else f"{self.stop} at {self.place}"

    def to_json(self) -> dict[str, Any]:
        """The walk as a JSON object."""
        row = {"record": self.record, "path": list(self.path), "calls": [call.to_json() for call in self.calls]}
        return {**row, "stop": self.stop, "place": self.place, "reason": self.reason}
