"""The judges' file: their verdicts and what they have cost, in SQLite, shared by processes."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import InfrastructureError

WAIT = 30.0
"""Seconds that one access waits for other processes."""

_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, answer TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    model TEXT PRIMARY KEY, calls INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Spent:
    """What the calls of one model have used so far.

    Attributes:
        calls: requests, those that failed included.
        input: tokens of prompts.
        output: tokens of replies.
    """

    calls: int = 0
    input: int = 0
    output: int = 0

    def money(self, prices: dict[str, float]) -> float:
        """The cost by ``prices`` per million tokens (``input``, ``output``)."""
        return (self.input * prices.get("input", 0.0) + self.output * prices.get("output", 0.0)) / 1e6


class Cache:
    """The file, which is opened at the first access; all threads of a process may use it.

    Each access is one transaction in the write-ahead log: a process that is killed leaves the file whole, and loses at
    most the answer that it was writing. The file must be on a local disk.

    Args:
        path: of the file; its folder is made if needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored answer; None if there is none."""
        with self._open() as file:
            row = file.execute("SELECT answer FROM verdicts WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Store an answer; the first one that was stored for a key stays."""
        with self._open() as file:
            file.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?)", (key, json.dumps(answer), time.time()))

    def spent(self, model: str) -> Spent:
        """What the model's calls have used."""
        with self._open() as file:
            return _spent(file, model)

    def start_call(self, model: str, refuse: Callable[[Spent], str]) -> str:
        """Count one call, unless ``refuse`` gives a reason against it for what was used so far; return that reason."""
        with self._open() as file:
            reason = refuse(_spent(file, model))
            if not reason:
                _add(file, model, Spent(calls=1))
            return reason

    def add_tokens(self, model: str, tokens: Spent) -> None:
        """Add what a call has used."""
        with self._open() as file:
            _add(file, model, tokens)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction that keeps other writers out.

        Raises:
            InfrastructureError: the file cannot be opened, read or written.
        """
        with self._lock:
            try:
                if self._file is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
                    _set_up(self._file)
                self._file.execute("BEGIN IMMEDIATE")
                yield self._file
                self._file.execute("COMMIT")
            except BaseException as error:
                self._close()
                if not isinstance(error, sqlite3.Error | OSError):
                    raise
                raise InfrastructureError(
                    f"the judges' cache {self.path}: {error}; free space, remove the file, or name another with cache="
                ) from None

    def _close(self) -> None:
        """Close the file, and undo a transaction that did not end; the next access opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


@lru_cache(maxsize=64)
def open_cache(path: Path, process: int) -> Cache:
    """The one cache of ``path`` in this process; SQLite's files do not survive a fork, so its id is part of the key."""
    return Cache(path)


def default_path() -> Path:
    """The file that judges share unless they name another: ``judges.sqlite`` in the user's cache folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "lachesis" / "judges.sqlite"


def _set_up(file: sqlite3.Connection) -> None:
    """Make the tables. SQLite does not wait if two processes switch on the write-ahead log at once, so this does."""
    last = time.monotonic() + WAIT
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = NORMAL")
            file.executescript(_TABLES)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > last:
                raise
            time.sleep(0.02)


def _spent(file: sqlite3.Connection, model: str) -> Spent:
    row = file.execute("SELECT calls, input, output FROM spent WHERE model = ?", (model,)).fetchone()
    return Spent(*row) if row else Spent()


def _add(file: sqlite3.Connection, model: str, more: Spent) -> None:
    file.execute(
        "INSERT INTO spent VALUES (?1, ?2, ?3, ?4) ON CONFLICT (model) DO UPDATE SET "
        "calls = calls + ?2, input = input + ?3, output = output + ?4",
        (model, more.calls, more.input, more.output),
    )
