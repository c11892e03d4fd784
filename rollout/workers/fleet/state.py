"""The states of the actors of a fleet, and the events that lead from one to the next."""

import time
from enum import StrEnum

from ...event_log import EventLog


class State(StrEnum):
    """What a fleet knows of one of its actors."""

    ABSENT = "absent"
    """The cluster has no room for it, so it has no process; it joins when there is room."""
    RESTARTING = "restarting"
    """Its process is being started, the first time or again."""
    STALE = "stale"
    """It answers, but nothing is known of its weights, or newer ones are on the way to it."""
    HEALTHY = "healthy"
    """It answers, and its last refit succeeded. A worker has no weights, so an answer is enough."""
    SUSPECT = "suspect"
    """It does not answer."""
    DRAINING = "draining"
    """Its node was announced to go. It gets no new work, and leaves when its work is done or the time is up."""
    DEAD = "dead"
    """Its process ended, or was killed because it did not answer."""
    RETIRED = "retired"
    """It has left the fleet, and does not come back."""


class Event(StrEnum):
    """What may happen to an actor."""

    PLACED = "placed"
    UNPLACED = "unplaced"
    ANSWERED = "answered"
    REFITTED = "refitted"
    LATE = "late"
    SILENT = "silent"
    WARNED = "warned"
    KEPT = "kept"
    LOST = "lost"
    STARTED = "started"
    LEFT = "left"


_WORKING = (State.STALE, State.HEALTHY, State.SUSPECT)
_ALIVE = (State.RESTARTING, *_WORKING, State.DRAINING)

MOVES: dict[tuple[State, Event], State] = {
    (State.ABSENT, Event.PLACED): State.RESTARTING,
    (State.RESTARTING, Event.UNPLACED): State.ABSENT,
    (State.RESTARTING, Event.ANSWERED): State.STALE,
    (State.STALE, Event.REFITTED): State.HEALTHY,
    (State.HEALTHY, Event.LATE): State.STALE,
    (State.HEALTHY, Event.SILENT): State.SUSPECT,
    (State.STALE, Event.SILENT): State.SUSPECT,
    (State.SUSPECT, Event.ANSWERED): State.STALE,
    **{(state, Event.WARNED): State.DRAINING for state in _WORKING},
    (State.DRAINING, Event.KEPT): State.STALE,
    **{(state, Event.LOST): State.DEAD for state in _ALIVE},
    (State.DEAD, Event.STARTED): State.RESTARTING,
    **{(state, Event.LEFT): State.RETIRED for state in (*_ALIVE, State.ABSENT, State.DEAD)},
}
"""The state after each event. An event that is not listed for a state changes nothing: it came too late to matter."""


class Member:
    """The state of one actor of a fleet; every change is in the event log.

    Args:
        kind: ``engine`` or ``worker``.
        number: its place in the fleet.
        events: is told of each change.
        absent: whether the cluster has no room for it at the start of the run.

    Attributes:
        state: what is known of it.
        since: when the state began, on the clock of ``time.monotonic``.
        starts: how often its process was started.
        node: the Ray id of the node that it was last on; empty until it has answered.
        running, room: of its last pulse.
        departures: how often it left a node that was announced to go.
    """

    def __init__(self, kind: str, number: int, events: EventLog, absent: bool = False) -> None:
        self.kind, self.number, self._events, self._late = kind, number, events, absent
        self.state, self.since = State.ABSENT if absent else State.RESTARTING, time.monotonic()
        self.starts, self.node = 1, ""
        self.running = self.room = self.departures = 0

    @property
    def restarts(self) -> int:
        """How often its process was started again."""
        return self.starts - 1

    @property
    def up(self) -> bool:
        """Whether its process is there, as far as is known."""
        return self.working or self.state is State.DRAINING

    @property
    def working(self) -> bool:
        """Whether its process is there and may be given work."""
        return self.state in _WORKING

    @property
    def begins(self) -> bool:
        """Whether its process is being started for the first time, with the run."""
        return self.state is State.RESTARTING and not self.restarts and not self._late

    def happened(self, event: Event, reason: str) -> bool:
        """Take an event, and why it happened; return whether the state is another one now."""
        after = MOVES.get((self.state, event))
        if after is None:
            return False
        facts = {self.kind: self.number, "state": after.value, "was": self.state.value, "reason": reason[:300]}
        self._events.note(f"{self.kind}_state", **facts)
        self.state, self.since = after, time.monotonic()
        self.starts += event is Event.STARTED
        return True


def state_metrics(members: list[Member]) -> dict[str, float]:
    """The share of ``members`` in each state that has any, ``healthy`` in any case; nothing if there are no members."""
    if not members:
        return {}
    kind, count = members[0].kind, {state: 0 for state in State}
    for member in members:
        count[member.state] += 1
    return {
        f"rate/{kind}s_{state.value}": found / len(members)
        for state, found in count.items()
        if found or state is State.HEALTHY
    }
