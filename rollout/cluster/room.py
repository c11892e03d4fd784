"""What is known of the room of a run's actors: which of them have a place, and which nodes will leave the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ActorKey = tuple[str, int]
"""The role of an actor, such as ``engines``, and its number."""


@dataclass(frozen=True)
class RoomView:
    """One look at the room.

    Attributes:
        placed: whether room is reserved for each elastic actor; actors that are not elastic always have theirs.
        leaving: seconds until each node that was announced to go will go, by Ray's id; infinite if that is unknown.
    """

    placed: Mapping[ActorKey, bool] = field(default_factory=dict)
    leaving: Mapping[str, float] = field(default_factory=dict)
