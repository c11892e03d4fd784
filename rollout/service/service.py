"""The state of the trajectory service: its trainer, its environments and its queue, behind the routes of the wire."""

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .door import Door, check_all
from .posted import Posted, read_posted
from .storage.queue import GroupQueue, QueuedGroup, QueueFull
from .wire import BadBody, EnvironmentRegistration, Registration

_LEAST_WEIGHT = 0.01
"""No environment's weight is told as less, as in the reference."""
_ENVIRONMENTS = 10_000
"""How many environments may register before they must be cleared with ``/reset_data``."""


@dataclass(frozen=True)
class Times:
    """How long the service waits for others, in seconds."""

    lease: float = 1800.0
    """Until a batch that was not acknowledged comes back."""
    silence: float = 300.0
    """Since its last group, until an environment's minimum share no longer holds up batches."""
    room: float = 60.0
    """That a post waits for room in the queue, before it is answered 503."""


@dataclass
class Environment:
    """An environment that has registered."""

    registration: EnvironmentRegistration
    name: str
    """Its own name and a count, for example ``gsm8k_0``."""
    connected: bool = True
    heard: float = field(default_factory=time.monotonic)
    """When its last group came, or it registered."""
    groups: int = 0
    """Groups accepted since the start."""

    @property
    def share(self) -> float | None:
        """The smallest share of a batch, from 0 to 1; None without one."""
        least = self.registration.min_batch_allocation
        return None if least is None or not self.connected else min(max(least, 0.0), 1.0)


class Service:
    """One queue with the trainer that takes groups from it and the environments that fill it.

    What registered is kept beside the queue, so environments and trainer go on after a restart of the service.
    """

    def __init__(
        self,
        queue: GroupQueue,
        *,
        door: Door | None = None,
        times: Times | None = None,
        step: Callable[[], int] | None = None,
        hold_odd: bool = True,
    ) -> None:
        """Open the service over ``queue``.

        Args:
            queue: of groups.
            door: the bounds of one group.
            times: how long to wait for others.
            step: the trainer's current step, if it runs in this process; else acknowledged batches are counted.
            hold_odd: whether groups of another size than their environment's are held until several make up one.
        """
        self.queue, self.door, self.times = queue, door or Door(), times or Times()
        self._step, self._hold_odd = step, hold_odd
        self.refused: Counter[str] = Counter()
        """Refused bodies by the kind of their first error."""
        self.last_refusal = ""
        self.arrivals: deque[float] = deque(maxlen=1000)
        self.latest: bytes | None = None
        """The last group that was accepted, as JSON."""
        self.closing = False
        """Whether posts wait for room no more, because the server ends."""
        self._asked: float | None = None  # when a trainer last asked for a batch
        self._one_by_one = asyncio.Lock()
        state = queue.state()
        known = state.get("registration")
        self.registration = None if known is None else msgspec.convert(known, Registration)
        self.started: bool = state.get("started", False)
        self._acknowledged: int = state.get("acknowledged", 0)
        self.environments = [
            Environment(msgspec.convert(one["registration"], EnvironmentRegistration), one["name"], one["connected"])
            for one in state.get("environments", [])
        ]

    @property
    def step(self) -> int:
        """The trainer's current step: batches that it was handed, from its starting step on."""
        if self._step is not None:
            return self._step()
        start = self.registration.starting_step if self.registration else 0
        return start + self._acknowledged + len(self.queue.leases)

    @property
    def batch_size(self) -> int:
        """Sequences in a batch; 0 before a trainer has registered."""
        return self.registration.batch_size if self.registration else 0

    def rate(self) -> float:
        """Groups accepted a second, over the last minute."""
        now = time.monotonic()
        return sum(1 for moment in self.arrivals if now - moment <= 60) / 60

    # The trainer

    async def register(self, registration: Registration, trainer: str = "") -> int:
        """Take a trainer in; what the same caller had on lease comes back, since it has started again.

        A later trainer with other settings changes nothing while the former lives. Its settings are taken if the
        former has not asked for a batch for the length of a lease, or since the service was started again.

        Returns:
            a new number of 128 bits.
        """
        self.queue.give_back(trainer)
        now = time.monotonic()
        abandoned = now - self._asked > self.times.lease if self._asked is not None else self.started
        if self.registration is None or (abandoned and registration != self.registration):
            self.registration, self._acknowledged = registration, 0
            await self.queue.keep({"registration": msgspec.to_builtins(registration), "acknowledged": 0})
        return uuid.uuid4().int

    async def start(self) -> None:
        """Let environments register: the trainer has asked for its first batch."""
        if not self.started:
            self.started = True
            await self.queue.keep({"started": True})

    async def batch(self, trainer: str) -> list[QueuedGroup] | None:
        """Acknowledge the last batch of ``trainer`` and lease it the next one, if one can be formed.

        A batch that was not written to the end comes back instead; ``settle`` says whether it was.
        """
        async with self._one_by_one:
            self._asked = time.monotonic()
            await self.start()
            lease = self.queue.leases.get(trainer)
            if lease is not None and lease.delivered:
                await self.queue.acknowledge(trainer, {"acknowledged": self._acknowledged + 1})
                self._acknowledged += 1
            elif lease is not None:
                self.queue.give_back(trainer)
            return await self.queue.lease(trainer, self.batch_size, self._minimums(), self.times.lease)

    def settle(self, trainer: str, groups: Sequence[QueuedGroup], whole: bool) -> None:
        """Note whether this batch of ``trainer`` was written to its connection as a whole; else it comes back."""
        lease = self.queue.leases.get(trainer)
        if lease is None or not groups or lease.groups[0].number != groups[0].number:
            return  # it came back meanwhile
        if whole:
            lease.delivered = True
        else:
            self.queue.give_back(trainer)

    def _minimums(self) -> dict[int, int]:
        """Sequences that each environment with a share must have in a batch; the silent ones are left out."""
        now = time.monotonic()
        return {
            env_id: int(self.batch_size * one.share)
            for env_id, one in enumerate(self.environments)
            if one.share and now - one.heard < self.times.silence
        }

    # The environments

    async def register_environment(self, registration: EnvironmentRegistration) -> dict[str, Any]:
        """The answer to ``/register-env``."""
        if not self.started or self.registration is None:
            return {"status": "wait for trainer to start"}
        if len(self.environments) >= _ENVIRONMENTS:
            raise QueueFull(f"{_ENVIRONMENTS} environments have registered; start anew with GET /reset_data")
        same = sum(one.registration.desired_name == registration.desired_name for one in self.environments)
        self.environments.append(Environment(registration, f"{registration.desired_name}_{same}"))
        env_id = len(self.environments) - 1
        answer = {
            "status": "success",
            "env_id": env_id,
            "wandb_name": self.environments[env_id].name,
            "checkpoint_dir": self.registration.checkpoint_dir,
            "starting_step": self.step,
            "checkpoint_interval": self.registration.save_checkpoint_interval,
            "num_steps": self.registration.num_steps,
        }
        await self._keep_environments()
        return answer

    def environment(self, env_id: int | None) -> Environment | None:
        """The environment of this number, if it has registered."""
        return self.environments[env_id] if env_id is not None and 0 <= env_id < len(self.environments) else None

    async def disconnect(self, env_id: int) -> bool:
        """Mark an environment as gone; whether it was there."""
        one = self.environment(env_id)
        if one is None:
            return False
        one.connected = False
        await self._keep_environments()
        return True

    def environment_status(self, env_id: int) -> dict[str, Any] | None:
        """The answer to ``/status-env``; None if there is no such environment."""
        own = self.environment(env_id)
        if own is None:
            return None
        connected = [one.registration for one in self.environments if one.connected]
        total = sum(one.max_token_length * max(0.0, one.weight) for one in connected)
        weight = own.registration.max_token_length * own.registration.weight / total if total > 0 else 0.0
        waiting = self.queue.waiting
        by_environment = waiting.by_environment()
        mine = by_environment.pop(env_id, 0)
        largest = max(waiting.largest(), 1)
        size = max(own.registration.group_size, waiting.largest(env_id))
        minimums = {e: int(self.batch_size * one.share) for e, one in enumerate(self.environments) if one.share}
        others = sum(
            max(0, -(-sequences // largest) * largest - minimums.get(other, 0) if other is not None else sequences)
            for other, sequences in by_environment.items()
        )
        return {
            "current_step": self.step,
            "queue_size": (mine + others) // size,
            "unallocated_fraction": 1.0 - min(sum(one.share or 0.0 for one in self.environments), 1.0),
            "self_queue_size": mine // size,
            "max_group_size": largest,
            "env_weight": max(_LEAST_WEIGHT, weight),
        }

    # Groups

    async def submit(self, body: bytes, *, many: bool) -> dict[str, Any]:
        """Check the groups in ``body`` and put them into the queue, all or none; the answer to the post.

        Raises:
            BadBody: a group was refused; the body is in quarantine.
            QueueFull: there was no room for ``times.room`` seconds.
            DiskError: the disk refused them.
        """
        queued = await self.checked(body, lambda: self._check(body, many))
        whole = [self._whole_size(group) for group in queued]
        await self.put(queued, whole)
        self.note(queued)
        self.latest = queued[-1].body if queued else self.latest
        return self._receipt(queued, whole, many)

    async def checked(self, body: bytes, read: Callable[[], list[QueuedGroup]]) -> list[QueuedGroup]:
        """The groups that ``read`` finds in ``body``; if it refuses them, count that and keep the body in quarantine.

        Raises:
            BadBody: it refuses them.
        """
        try:
            return read()
        except BadBody as error:
            self.refused[str(error.detail[0]["type"])] += 1
            self.last_refusal = str(error)
            await self.queue.quarantine.add(str(error), body)
            raise

    def _check(self, body: bytes, many: bool) -> list[QueuedGroup]:
        longest = self.registration.max_token_len if self.registration else 0
        if not many and type(self.door) is Door:
            from .glance import glance  # only now: it loads numpy, and the service is to start without

            if seen := glance(body, self.door, longest):
                return [seen]
        posted = read_posted(body, many=many)
        check_all(self.door, [one.group for one in posted], many, longest=longest, version=self.step)
        return [QueuedGroup(0, one.group.env_id, len(one.group.tokens), self._body(one)) for one in posted]

    def _body(self, posted: Posted) -> bytes:
        """What enters the queue of a group that passed the door."""
        return posted.body

    async def put(
        self, groups: Sequence[QueuedGroup], whole: Sequence[int | None], state: Mapping[str, Any] | None = None
    ) -> None:
        """Put groups into the queue, as ``GroupQueue.put``, and wait for room.

        Raises:
            QueueFull: there was no room for ``times.room`` seconds.
            DiskError: the disk refused them.
        """
        deadline = time.monotonic() + self.times.room
        while True:
            try:
                await self.queue.put(groups, whole, state)
            except QueueFull:
                if self.closing or time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    def _whole_size(self, group: QueuedGroup) -> int | None:
        """Its environment's group size, if the group has another and is to be held for that."""
        own = self.environment(group.env_id)
        if own is None or not self._hold_odd or group.sequences == own.registration.group_size:
            return None
        return own.registration.group_size

    def note(self, groups: Sequence[QueuedGroup]) -> None:
        """Note that groups have arrived."""
        now = time.monotonic()
        for group in groups:
            self.arrivals.append(now)
            if (own := self.environment(group.env_id)) is not None:
                own.heard = now
                own.groups += 1

    def _receipt(self, groups: Sequence[QueuedGroup], whole: Sequence[int | None], many: bool) -> dict[str, Any]:
        odd = [group.env_id for group, size in zip(groups, whole, strict=True) if size is not None]
        left = self.queue.held.sequences(odd[-1]) if odd and odd[-1] is not None else 0
        if not many:
            return {"status": "buffered", "buffer_size": left} if odd else {"status": "received"}
        receipt: dict[str, Any] = {"status": "received", "groups_processed": len(groups)}
        return receipt | ({"buffered": len(odd), "last_buffer_size": left} if odd else {})

    async def reset(self) -> None:
        """Forget the trainer, the environments and all groups."""
        await self.queue.reset()
        self.registration, self.started, self._acknowledged = None, False, 0
        self.environments, self.latest = [], None

    async def _keep_environments(self) -> None:
        rows = [
            {"registration": msgspec.to_builtins(one.registration), "name": one.name, "connected": one.connected}
            for one in self.environments
        ]
        await self.queue.keep({"environments": rows})
