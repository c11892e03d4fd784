"""Looks which actors of a run have a place in the cluster, and which of its nodes will go."""

import asyncio
import time
from collections.abc import Callable

from ...cluster.room import RoomView
from ...event_log import EventLog
from .off_loop import off_loop
from .state import Member


class RoomWatch:
    """The newest look at the room; the first one is made at once, and blocks.

    Args:
        look: returns what Ray knows; blocks if Ray does not answer.
        deadline: seconds that a look may take; whoever looks after Ray itself ends the run then.
    """

    EVERY = 2.0
    """Seconds between two looks."""

    def __init__(self, look: Callable[[], RoomView] = RoomView, deadline: float = 45.0) -> None:
        self._look, self._deadline = look, deadline
        self._take(look())

    def has_place(self, member: Member) -> bool:
        """Whether room is reserved for an actor."""
        return self.has_place_for(member.kind, member.number)

    def has_place_for(self, kind: str, number: int) -> bool:
        """As ``has_place``, for an actor that is no member yet."""
        return self._view.placed.get((f"{kind}s", number), True)

    def may_move(self, member: Member) -> bool:
        """Whether an actor can be given another place while the run goes on."""
        return (f"{member.kind}s", member.number) in self._view.placed

    def seconds_left(self, member: Member) -> float | None:
        """Seconds until the node of an actor goes; infinite if that is unknown, None if it was not announced to go."""
        left = self._view.leaving.get(member.node)
        return None if left is None else left - (time.monotonic() - self._at)

    async def look_on(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self.EVERY)
            try:
                self._take(await off_loop(self._look, self._deadline))
            except Exception:  # noqa: BLE001 - of a Ray that is gone, which ``RayHealth`` tells
                continue

    def _take(self, view: RoomView) -> None:
        self._view, self._at = view, time.monotonic()


def members_of(kind: str, count: int, events: EventLog, room: RoomWatch) -> list[Member]:
    """The members of a fleet at the start of a run; those without a place are absent."""
    return [Member(kind, number, events, absent=not room.has_place_for(kind, number)) for number in range(count)]
