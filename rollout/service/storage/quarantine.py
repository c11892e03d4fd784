"""The bodies that were refused last, kept to look at."""

import sqlite3
import time
from typing import NamedTuple

from .database import Database

_BODIES = 100
"""How many are kept, the newest."""
_BYTES = 1 << 20
"""How much of each is kept."""
_SHOWN = 2000
"""Bytes of each that are shown."""


class Refused(NamedTuple):
    """A refused body."""

    at: float
    """Seconds since the epoch."""
    reason: str
    start: bytes
    """How it begins."""
    size: int
    """Bytes that are kept of it."""


class Quarantine:
    """The refused bodies in a service's file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, reason: str, body: bytes) -> None:
        """Keep a refused body, at most the first MiB of it, and only the newest 100.

        Raises:
            DiskError: it could not be written.
        """

        def insert(connection: sqlite3.Connection) -> None:
            query = "INSERT INTO quarantine (at, reason, body) VALUES (?, ?, ?)"
            number = connection.execute(query, (time.time(), reason, body[:_BYTES])).lastrowid or 0
            connection.execute("DELETE FROM quarantine WHERE number <= ?", (number - _BODIES,))

        await self._database.write(insert)

    async def newest(self) -> list[Refused]:
        """What is kept, the newest first."""
        query = f"SELECT at, reason, substr(body, 1, {_SHOWN}), length(body) FROM quarantine ORDER BY number DESC"
        return await self._database.read(lambda c: [Refused(*row) for row in c.execute(query)])
