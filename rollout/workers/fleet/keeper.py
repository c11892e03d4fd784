"""Looks after one actor of a fleet: asks for its pulse, and replaces its process if that no longer answers."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ....verifiers.errors import EngineLost
from .patience import Patience
from .room_watch import RoomWatch
from .state import Event, Member, State

log = logging.getLogger("lachesis")


class ActorLost(EngineLost):
    """The process of an actor ended."""


class ActorSilent(EngineLost):
    """An actor did not answer in time; its process may be there, stopped or cut off."""


@dataclass(frozen=True)
class Pulse:
    """The answer of a process that runs.

    Attributes:
        pid: its process id.
        stalled: seconds for which the event loop that does its work has taken no turn.
        node: the Ray id of its node; only known from a first answer.
        running: how many requests or orders it has begun and not ended.
        room: how many requests an engine can hold at the same time; 0 if that is unknown.
    """

    pid: int
    stalled: float = 0.0
    node: str = ""
    running: int = 0
    room: int = 0


class Actor(Protocol):
    """A handle on an actor, as a keeper uses it."""

    async def hello(self, deadline: float) -> Pulse:
        """The first answer of a process, once it is built; ``ActorSilent`` or ``ActorLost`` if there is none."""
        ...

    async def pulse(self, deadline: float) -> Pulse:
        """Answer at once, from a thread of its own, whatever the actor is doing; errors as in ``hello``."""
        ...

    async def kill(self, restart: bool) -> None:
        """End the process, at once; Ray starts another if ``restart``."""
        ...

    async def move(self) -> None:
        """End the process and give up its place; Ray starts another where and when there is room."""
        ...


@dataclass(frozen=True)
class Limits:
    """When an actor is given up; each that follows from measurements takes this run's.

    Attributes:
        silence: seconds without an answer after which its process is killed.
        stalled: seconds without a turn of its event loop after which its process is killed.
        start: how long its process may take to start.
        pulse: how long an answer may take before the actor is suspect.
    """

    silence: float
    stalled: Patience
    start: Patience
    pulse: Patience

    @classmethod
    def of(cls, silence: float, deadline: float) -> "Limits":
        """The limits of a fleet whose calls may take ``deadline`` seconds."""
        return cls(
            silence,
            stalled=Patience(120.0, deadline, 10, first=120.0),
            start=Patience(max(120.0, deadline), math.inf, 5, first=max(120.0, deadline)),
            pulse=Patience(5.0, 30.0, 20, first=5.0),
        )


class Keeper:
    """Looks after an actor as long as its fleet lives.

    Args:
        actor: the handle.
        member: its state.
        label: what messages call it.
        limits: when it is given up; those of all actors of a fleet, which share what was measured.
        fit: is awaited while the actor is stale; it ends with ``Event.REFITTED`` if the actor may serve.
        gone: is told why Ray itself is given up, if it does not end a process in time.
        changed: is called after each change of the state.
        room: says whether the actor has a place, and whether its node will go; without it, the place is fixed.
    """

    EVERY = 0.5
    """Seconds between two looks."""
    UNPLACED = 60.0
    """Seconds without a start after which the user is told once."""
    MOST_DOUBLINGS = 3
    """How often the patience with an actor doubles, once for each kill for its silence: it may just be slow."""
    MARGIN = 5.0
    """Seconds before its node goes in which an actor leaves it, also if it is not done with its work."""

    def __init__(
        self,
        actor: Actor,
        member: Member,
        label: str,
        limits: Limits,
        fit: Callable[[], Awaitable[None]],
        gone: Callable[[str], None],
        changed: Callable[[], None],
        room: RoomWatch | None = None,
    ) -> None:
        self._actor, self.member, self._label, self._limits = actor, member, label, limits
        self._fit, self._gone, self._changed = fit, gone, changed
        self._room = room or RoomWatch()
        self._pid = 0
        self._silent = 0.0
        self._kills = 0
        self._told_unplaced = self._down = False
        self._absent = member.state is State.ABSENT
        self._told = ""

    async def tend(self) -> None:
        """Look after the actor until it is retired."""
        while self.member.state is not State.RETIRED:
            try:
                await self._look()
                if self.member.state is State.STALE:
                    await self._fit()
                self._tell_back()
            except Exception as error:  # noqa: BLE001 - if this ended, nobody would look after the actor
                if str(error) != self._told:  # it may come back with every look
                    log.warning("%s: %s", self._label, error)
                self._told = str(error)
            await asyncio.sleep(self.EVERY)

    def happened(self, event: Event, reason: str) -> bool:
        """Take an event; as in ``Member``."""
        moved = self.member.happened(event, reason)
        if moved:
            self._changed()
        return moved

    async def replace(self, reason: str) -> None:
        """Kill the process, so that Ray starts another."""
        log.warning("%s %s; its process is killed and started again", self._label, reason)
        self._down = True
        self.happened(Event.LOST, reason)
        try:
            await self._actor.kill(restart=True)
        except TimeoutError:
            self._gone(f"Ray did not end the process of {self._label} in time")
        finally:
            self._start_again()

    async def _look(self) -> None:
        if self.member.state is State.ABSENT:
            self._await_place()
        elif self.member.state is State.RESTARTING:
            await self._await_start()
        else:
            self._heed_warning()
            await self._feel()

    def _await_place(self) -> None:
        """Begin the wait for a process once the cluster has room for it."""
        if self._room.has_place(self.member):
            self.happened(Event.PLACED, "the cluster has room for it")
        elif self._down:
            self._tell_unplaced(time.monotonic() - self.member.since)

    async def _await_start(self) -> None:
        """Wait for the first answer of a process."""
        if not self._room.has_place(self.member):
            self.happened(Event.UNPLACED, "the cluster has no room for it")
            return
        waited = time.monotonic() - self.member.since
        try:
            pulse = await self._actor.hello(self._limits.pulse.seconds)
        except ActorSilent:
            self._tell_unplaced(waited)
            if waited > self._limits.start.seconds:
                await self.replace(f"has not started within {waited:.0f} s")
            return
        except ActorLost:  # while Ray looks for a place for it, or because the process ended again
            self._tell_unplaced(waited)
            return
        self._limits.start.note(time.monotonic() - self.member.since)
        self._pid, self.member.node, self._silent = pulse.pid, pulse.node, 0.0
        self.member.running, self.member.room = pulse.running, pulse.room
        self._told_unplaced = False
        self.happened(Event.ANSWERED, "its process has started")

    def _tell_unplaced(self, waited: float) -> None:
        """Tell once that the actor has not come back for ``waited`` seconds."""
        if self.member.restarts and waited > self.UNPLACED and not self._told_unplaced:
            self._told_unplaced = True
            log.warning(
                "%s has not come back for %.0f s; the run goes on without it. If `ray status` shows that no node "
                "has room for it, add a node",
                self._label,
                waited,
            )

    async def _feel(self) -> None:
        """Ask for the pulse, and act on what comes, or does not."""
        deadline, begun = self._limits.pulse.seconds, time.monotonic()
        try:
            pulse = await self._actor.pulse(deadline)
        except ActorSilent as silent:
            self._silent += deadline
            if self.happened(Event.SILENT, str(silent)):
                log.warning("%s has not answered for %.0f s; others get its work meanwhile", self._label, deadline)
                self._down = True
            if self._silent >= self._limits.silence * 2 ** min(self._kills, self.MOST_DOUBLINGS):
                self._kills += 1
                await self.replace(f"has not answered for {self._silent:.0f} s")
            return
        except ActorLost as lost:
            self._died(str(lost))
            return
        self._limits.pulse.note(time.monotonic() - begun)
        self._silent = 0.0
        self.member.running, self.member.room = pulse.running, pulse.room
        if pulse.pid != self._pid:
            self._died("its process is another one")
        elif pulse.stalled > self._limits.stalled.seconds:
            await self.replace(f"has taken no step for {pulse.stalled:.0f} s")
        elif self.member.state is State.DRAINING:
            await self._leave(pulse)
        else:
            self.happened(Event.ANSWERED, "it answers again")

    def _heed_warning(self) -> None:
        """Give the actor no new work once its node was announced to go, unless that is taken back."""
        left = self._room.seconds_left(self.member)
        if left is None:
            self.happened(Event.KEPT, "its node is no longer announced to go")
        elif self.happened(Event.WARNED, "its node was announced to go" + (f" in {left:.0f} s" * (left < math.inf))):
            self._down = True
            log.warning("%s gets no new work: its node was announced to go", self._label)

    async def _leave(self, pulse: Pulse) -> None:
        """Leave a node that will go, once the work is done or the time is up; who cannot move goes with the node."""
        left = self._room.seconds_left(self.member)
        in_time = left is None or left > self.MARGIN
        if (pulse.running and in_time) or not self._room.may_move(self.member):
            return
        done = f"{pulse.running} of its calls go on elsewhere" if pulse.running else "its work is done"
        log.warning("%s leaves its node, and %s; it comes back where there is room", self._label, done)
        self.member.departures += 1
        try:
            await self._actor.move()
        except Exception as error:  # noqa: BLE001 - half of a move leaves an actor without a place
            self._gone(f"Ray did not take the order to place {self._label} elsewhere ({error!r})")
        self.member.node = ""  # what goes now is not lost with it
        self.happened(Event.LOST, f"it has left its node, and {done}")
        self._start_again()

    def _died(self, reason: str) -> None:
        if self.happened(Event.LOST, reason):
            log.warning("%s died, and Ray starts it again: %s", self._label, reason)
            self._down = True
        self._start_again()

    def _start_again(self) -> None:
        self._silent = 0.0
        self.happened(Event.STARTED, "Ray starts its process again")

    def _tell_back(self) -> None:
        if self.member.state is not State.HEALTHY:
            return
        if self._down:
            log.warning("%s is back", self._label)
        elif self._absent:
            log.warning("%s has joined the run", self._label)
        self._down = self._absent = False
