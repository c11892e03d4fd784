"""Program that runs one query on several SQLite databases and prints a line of JSON for each; it runs in a job."""

import contextlib
import json
import sqlite3
import sys
import time
from typing import Any

_DENIED = {"load_extension", "fts3_tokenizer", "random", "randomblob"}
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_COLUMN, 200),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_RECURSIVE = 33


def serve() -> None:
    """Read the order from standard input, and answer with a line for each database."""
    order = json.load(sys.stdin)
    for database in order["databases"]:
        for backwards in (False, True) if order["both_ways"] else (False,):
            result = _run(database, order, backwards)
            sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode() + b"\n")
            sys.stdout.flush()
            if "error" in result and not backwards:
                return


def _run(database: dict[str, Any], order: dict[str, Any], backwards: bool) -> dict[str, Any]:
    try:
        connection = _open(database)
    except (sqlite3.Error, sqlite3.Warning) as error:
        return {"error": f"the database cannot be made: {error}", "kind": "database"}
    if backwards:
        _turn_round(connection)
    for limit, most in _LIMITS:
        connection.setlimit(limit, most)
    connection.set_authorizer(_authorized)
    end = time.process_time() + order["seconds"]
    connection.set_progress_handler(lambda: time.process_time() > end, 10_000)
    connection.text_factory = lambda text: text.decode(errors="replace")
    rows: list[list[Any]] = []
    try:
        cursor = connection.execute(order["query"])
        if cursor.description is None:
            return {"error": "it gives no rows; write one SELECT", "kind": "query"}
        size = 0
        for row in cursor:
            rows.append([_plain(value) for value in row])
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(rows) > order["most"] or size > order["bytes"]:
                return {"columns": [], "rows": [], "more": True}
        return {"columns": [column[0] for column in cursor.description], "rows": rows, "more": False}
    except (sqlite3.Error, sqlite3.Warning) as error:
        late = str(error) == "interrupted"
        return {"error": "it takes too long" if late else str(error)[:200], "kind": "timeout" if late else "query"}
    except (MemoryError, OverflowError, UnicodeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"[:200], "kind": "limit"}


def _open(database: dict[str, Any]) -> sqlite3.Connection:
    if "file" in database:
        return sqlite3.connect(f"file:{database['file']}?mode=ro&immutable=1", uri=True, cached_statements=0)
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
    connection.executescript(database["schema"])
    for table, rows in database["rows"].items():
        name = table.replace('"', '""')
        for row in rows:
            connection.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row)
    return connection


def _turn_round(connection: sqlite3.Connection) -> None:
    """Hide each table behind a view with its rows the other way round: what a query leaves open then comes out so."""
    connection.execute("PRAGMA reverse_unordered_selects = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        name = table.replace('"', '""')
        select = (
            f'SELECT * FROM main."{name}" ORDER BY rowid DESC LIMIT -1'  # the limit keeps the order from being lost
        )
        with contextlib.suppress(sqlite3.Error):  # a table without a rowid
            connection.execute(f'CREATE TEMP VIEW "{name}" AS {select}')


def _authorized(action: int, first: str | None, second: str | None, *_: object) -> int:
    """Allow reading, and functions whose result is always the same; no writing, ATTACH, PRAGMA or extension."""
    reads = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, _RECURSIVE)
    calls = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _DENIED
    return sqlite3.SQLITE_OK if reads or calls else sqlite3.SQLITE_DENY


def _plain(value: object) -> object:
    return {"blob": value.hex()} if isinstance(value, bytes) else value


if __name__ == "__main__":
    serve()
