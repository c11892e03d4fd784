"""The service's SQLite file: one thread writes, and all that waits for it shares a commit; another thread reads."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ....verifiers.errors import ConfigError, InfrastructureError

_T = TypeVar("_T")
_SHARED = 128
"""How many writes share a commit at most."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (
    number INTEGER PRIMARY KEY AUTOINCREMENT, env_id INTEGER, sequences INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS held (
    number INTEGER PRIMARY KEY AUTOINCREMENT, env_id INTEGER, sequences INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class DiskError(InfrastructureError):
    """The file could not be written, for example because the disk is full; nothing of that write was kept."""


class _Write(NamedTuple):
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    done: Callable[[Any, DiskError | None], None]
    """Called on the event loop with the result, or with None and the error."""


class Database:
    """One SQLite file in write-ahead mode; a write is on the disk before it is reported."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: it cannot be opened, is of another kind, or another process uses it.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writing = _connect(path)
            self._writing.executescript(_SCHEMA)
            self._lock = sqlite3.connect(f"{path}.lock", timeout=0, isolation_level=None, check_same_thread=False)
            self._lock.execute("BEGIN EXCLUSIVE")  # let go by the system when this process ends, however it ends
            self._reading = _connect(path)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"cannot open the store {path}: {error}; is another service using it?") from None
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._writer.start()
        self._reader = ThreadPoolExecutor(1, "store reader")

    async def write(
        self, work: Callable[[sqlite3.Connection], _T], then: Callable[[_T | None], None] | None = None
    ) -> _T:
        """Run ``work`` in a transaction and wait until it is on the disk.

        Args:
            work: runs in the writer's thread.
            then: called on the event loop with the result, or None if it failed, even if the caller was cancelled.

        Raises:
            DiskError: the transaction failed.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[_T] = loop.create_future()

        def done(result: _T | None, error: DiskError | None) -> None:
            if then is not None:
                then(result)
            if written.done():
                return
            if error is None:
                written.set_result(result)  # type: ignore[arg-type]
            else:
                written.set_exception(error)

        self._writes.put(_Write(work, loop, done))
        return await written

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work``, which only reads, in the reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, self._reading)

    def read_now(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work``, which only reads, and block until it is done; for the start."""
        return self._reader.submit(work, self._reading).result()

    def close(self) -> None:
        """Finish all writes and close the file."""
        self._writes.put(None)
        self._writer.join()
        self._reader.shutdown()
        for connection in (self._reading, self._writing, self._lock):
            connection.close()

    def _run(self) -> None:
        while True:
            first = self._writes.get()
            writes = [first] if first is not None else []
            last = first is None
            while not last and len(writes) < _SHARED:
                try:
                    following = self._writes.get_nowait()
                except queue.Empty:
                    break
                last = following is None
                writes += [following] if following is not None else []
            self._commit(writes)
            if last:
                return

    def _commit(self, writes: list[_Write]) -> None:
        if not writes:
            return
        try:
            self._writing.execute("BEGIN IMMEDIATE")
            results = [write.work(self._writing) for write in writes]
            self._writing.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and the thread goes on
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
            failure = DiskError(f"the store could not be written: {error}; check the space on its disk")
            _report([(write, None, failure) for write in writes])
        else:
            _report([(write, result, None) for write, result in zip(writes, results, strict=True)])


def _report(outcomes: list[tuple[_Write, Any, DiskError | None]]) -> None:
    """Wake the event loop once for all writes of a commit."""

    def tell() -> None:
        for write, result, error in outcomes:
            write.done(result, error)

    outcomes[0][0].loop.call_soon_threadsafe(tell)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA page_size = 65536")  # a group is 100 kB and more
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
