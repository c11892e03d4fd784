"""The queue of groups on disk: first in, first out, handed to trainers on lease or by number."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .batching import Waiting, WaitingGroups
from .database import Database, DiskError
from .held import HeldGroups
from .quarantine import Quarantine
from .queued import Counters, Lease, QueuedGroup, QueueFull

__all__ = ["GroupQueue", "QueueFull", "QueuedGroup"]


class GroupQueue:
    """Groups on disk in the order of their arrival; only their numbers, environments and sizes are in memory.

    A trainer in this process takes groups by number (``next``, ``trained``). A trainer that connects over HTTP takes
    batches on lease (``lease``). A queue is used in one of the two ways.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_groups: int,
        max_bytes: int,
        patience: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file, or make it; whatever was on lease waits again.

        Args:
            path: the SQLite file.
            max_groups: groups that may wait.
            max_bytes: bytes that the bodies of waiting groups may have.
            patience: seconds after which a batch that cannot be filled exactly is handed out less full.
            clock: seconds.

        Raises:
            ConfigError: the file cannot be used.
        """
        self._database = Database(path)
        self.quarantine = Quarantine(self._database)
        self.max_groups, self.max_bytes, self.patience, self.clock = max_groups, max_bytes, patience, clock
        self.counters = Counters()
        self.leases: dict[str, Lease] = {}
        self.waiting = WaitingGroups()
        self.held = HeldGroups()
        self.bytes = 0
        """Bytes of the bodies that wait."""
        self._coming = [0, 0]  # groups and bytes that are being written
        self._arrived = asyncio.Event()
        self._stuck: float | None = None
        self._oldest: tuple[int | None, float] = (None, 0.0)
        for table in ("groups", "held"):
            query = f"SELECT number, env_id, sequences, length(body) FROM {table} ORDER BY number"
            for number, env_id, sequences, size in self._database.read_now(lambda c, q=query: c.execute(q).fetchall()):  # type: ignore[misc]
                group = Waiting(number, env_id, sequences)
                self.bytes += size
                if table == "groups":
                    self.waiting.add(group)
                else:
                    self.held.add(env_id, group, self.clock())

    def close(self) -> None:
        """Finish all writes and close the file."""
        self._database.close()

    def __len__(self) -> int:
        """How many groups wait, those held included."""
        return self.waiting.groups + len(self.held)

    # Groups come in.

    async def put(self, groups: Sequence[QueuedGroup], whole: Sequence[int | None] | None = None) -> list[int]:
        """Append ``groups``, all or none; they are on the disk when this returns.

        Args:
            groups: in their order.
            whole: for each of them None, or the group size of its environment, which it does not have. Such a group
                is held until several have that size together, or for ``patience`` seconds; then they enter the queue.

        Returns:
            their numbers, 0 for those held.

        Raises:
            QueueFull: they do not fit within the bounds.
            DiskError: they could not be written.
        """
        size = sum(len(group.body) for group in groups)
        if len(self) + self._coming[0] + len(groups) > self.max_groups:
            raise QueueFull(f"{len(self)} groups wait, and {self.max_groups} may; post again later")
        if self.bytes + self._coming[1] + size > self.max_bytes:
            raise QueueFull(f"{self.bytes} bytes wait, and {self.max_bytes} may; post again later")
        self._coming[0] += len(groups)
        self._coming[1] += size
        sizes = whole or [None] * len(groups)
        complete: list[Waiting] = []

        def insert(connection: sqlite3.Connection) -> list[int]:
            rows = []
            for group, odd in zip(groups, sizes, strict=True):
                query = f"INSERT INTO {'groups' if odd is None else 'held'} (env_id, sequences, body) VALUES (?, ?, ?)"
                rows.append(connection.execute(query, (group.env_id, group.sequences, group.body)).lastrowid or 0)
            return rows

        def written(numbers: list[int] | None) -> None:
            self._coming[0] -= len(groups)
            self._coming[1] -= size
            if numbers is None:
                return
            self.bytes += size
            self.counters.accepted += len(groups)
            for number, group, odd in zip(numbers, groups, sizes, strict=True):
                entry = Waiting(number, group.env_id, group.sequences)
                if odd is None or group.env_id is None:
                    self.waiting.add(entry)
                else:
                    self.held.add(group.env_id, entry, self.clock())
                    complete.extend(self.held.complete(group.env_id, odd))
            self._wake()

        numbers = await self._database.write(insert, written)
        await self._release(complete)
        return [number if odd is None else 0 for number, odd in zip(numbers, sizes, strict=True)]

    async def _release(self, groups: Sequence[Waiting]) -> None:
        """Move held groups into the queue."""
        if not groups:
            return

        def move(connection: sqlite3.Connection) -> list[int]:
            numbers = []
            for group in groups:
                row = "SELECT env_id, sequences, body FROM held WHERE number = ?"
                query = f"INSERT INTO groups (env_id, sequences, body) {row}"
                numbers.append(connection.execute(query, (group.number,)).lastrowid or 0)
                connection.execute("DELETE FROM held WHERE number = ?", (group.number,))
            return numbers

        def moved(numbers: list[int] | None) -> None:
            for index, group in enumerate(groups):
                if numbers is not None:
                    self.waiting.add(group._replace(number=numbers[index]))
                elif group.env_id is not None:
                    self.held.add(group.env_id, group, self.clock())
            self._wake()

        await self._database.write(move, moved)

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = asyncio.Event()

    # Groups go out one by one, to a trainer in this process.

    async def next(self, after: int, timeout: float | None) -> QueuedGroup | None:  # noqa: ASYNC109 - None is the answer then
        """The first group with a number above ``after``; it stays on the disk until ``trained``.

        Args:
            after: the number of the last group that was taken, 0 at first.
            timeout: seconds to wait for a group, or None to wait for ever.

        Returns:
            the group, or None if none came in time.
        """
        query = "SELECT number, env_id, sequences, body FROM groups WHERE number > ? ORDER BY number LIMIT 1"
        deadline = None if timeout is None else self.clock() + timeout
        while True:
            arrived = self._arrived
            row = await self._database.read(lambda c: c.execute(query, (after,)).fetchone())
            if row is not None:
                group = QueuedGroup(*row)
                await self._forget(group.number)
                return group
            rest = None if deadline is None else deadline - self.clock()
            if rest is not None and rest <= 0:
                return None
            try:
                await asyncio.wait_for(arrived.wait(), rest)
            except TimeoutError:
                return None

    async def _forget(self, upto: int) -> None:
        """Count the groups up to this number as waiting no more."""
        oldest = self.waiting.oldest()
        if oldest is None or oldest > upto:
            return
        query = "SELECT sum(length(body)) FROM groups WHERE number BETWEEN ? AND ?"
        size = await self._database.read(lambda c: c.execute(query, (oldest, upto)).fetchone()[0])
        self.waiting.drop(upto)
        self.bytes -= size or 0

    async def trained(self, upto: int) -> None:
        """Delete the groups up to this number: a checkpoint contains them.

        Raises:
            DiskError: it could not be written.
        """
        await self._forget(upto)
        await self._database.write(lambda c: c.execute("DELETE FROM groups WHERE number <= ?", (upto,)).rowcount)

    # Groups go out in batches, on lease.

    async def lease(
        self, trainer: str, batch_size: int, least: Mapping[int, int], seconds: float
    ) -> list[QueuedGroup] | None:
        """The next batch for ``trainer``, which must have acknowledged the last one.

        Args:
            trainer: who asks; each has one lease at most.
            batch_size: sequences.
            least: the fewest sequences of each environment that has a minimum.
            seconds: how long the lease runs. After that the batch is handed to the next who asks; until then its own
                trainer can still acknowledge it.

        Returns:
            its groups, oldest first; None while no batch can be formed.
        """
        self._return_expired()
        await self._release(self.held.overdue(self.clock() - self.patience))
        now, oldest = self.clock(), self.waiting.oldest()
        if oldest != self._oldest[0]:
            self._oldest = (oldest, now)
        batch = self.waiting.take(
            batch_size,
            least,
            short=self._stuck is not None and now - self._stuck >= self.patience,
            oldest_first=now - self._oldest[1] >= self.patience,
        )
        if batch is None:
            if self._stuck is None and self.waiting.sequences >= batch_size:
                self._stuck = now
            return None
        if batch.exact:
            self._stuck = None
        lease = self.leases[trainer] = Lease(batch.groups, 0, now + seconds)
        query = "SELECT number, env_id, sequences, body FROM groups WHERE number = ?"
        rows = await self._database.read(
            lambda c: [c.execute(query, (group.number,)).fetchone() for group in batch.groups]
        )
        groups = [QueuedGroup(*row) for row in rows if row is not None]
        lease.bytes = sum(len(group.body) for group in groups)
        self.bytes -= lease.bytes
        self.counters.batches += 1
        self.counters.short_batches += not batch.exact
        return groups

    async def acknowledge(self, trainer: str, state: Mapping[str, Any] | None = None) -> bool:
        """Delete the batch that ``trainer`` had on lease, and in the same commit keep ``state``.

        Returns:
            whether there was one.

        Raises:
            DiskError: it could not be written; the lease stays.
        """
        lease = self.leases.get(trainer)
        if lease is None:
            return False

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM groups WHERE number = ?", [(group.number,) for group in lease.groups])
            _save(connection, state or {})

        lease.ending = True
        try:
            await self._database.write(delete)
        except DiskError:
            lease.ending = False
            raise
        self.leases.pop(trainer, None)
        self.counters.acknowledged += len(lease.groups)
        return True

    def give_back(self, trainer: str) -> None:
        """Return what ``trainer`` has on lease to its old place in the queue, unless it has just acknowledged it."""
        lease = self.leases.get(trainer)
        if lease is not None and not lease.ending:
            del self.leases[trainer]
            self.waiting.put_back(lease.groups)
            self.bytes += lease.bytes
            self.counters.returned += len(lease.groups)
            self._wake()

    def _return_expired(self) -> None:
        """Return the batches whose lease has run out."""
        for trainer in [name for name, lease in self.leases.items() if lease.expires <= self.clock()]:
            self.give_back(trainer)

    # What else is kept.

    def state(self) -> dict[str, Any]:
        """What was kept with ``keep`` and ``acknowledge``, by name."""
        rows = self._database.read_now(lambda c: c.execute("SELECT name, value FROM state").fetchall())
        return {name: json.loads(value) for name, value in rows}

    async def keep(self, state: Mapping[str, Any]) -> None:
        """Write ``state``, JSON values by name, beside the groups.

        Raises:
            DiskError: it could not be written.
        """
        await self._database.write(lambda c: _save(c, state))

    async def reset(self) -> None:
        """Delete all groups and all state; the quarantine stays.

        Raises:
            DiskError: it could not be written.
        """

        def delete(connection: sqlite3.Connection) -> None:
            for table in ("groups", "held", "state"):
                connection.execute(f"DELETE FROM {table}")

        def deleted(_: object) -> None:
            self.waiting, self.held, self.leases, self.bytes = WaitingGroups(), HeldGroups(), {}, 0
            self._stuck = None

        await self._database.write(delete, deleted)


def _save(connection: sqlite3.Connection, state: Mapping[str, Any]) -> None:
    rows: Iterable[tuple[str, str]] = [(name, json.dumps(value)) for name, value in state.items()]
    connection.executemany("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", rows)
