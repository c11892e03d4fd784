"""An sqlite database in memory, filled from a seed, that untrusted SQL can only read."""

import random
import re
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_ROWS = 50
"""Most rows of a result; the result says if rows were left out."""

MAX_STEPS = 1_000_000
"""Most instructions of sqlite's machine for one query, so that a query ends the same way on every machine."""

MAX_SECONDS = 2.0
"""Most seconds for one query, in case the machine is very slow."""

MAX_SELECTS, MAX_SOURCES = 5, 24
"""Limits of a query with WITH: its SELECTs and VALUES, and the places that can name a table. Names that refer to each
other multiply, and sqlite expands all of them before it checks any limit of time."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4_000,  # bytes of a text, a blob or a row
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 2_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 32,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 10,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_FUNCTIONS = frozenset(
    """
    abs avg coalesce count date dense_rank first_value glob group_concat ifnull iif instr lag last_value
    lead length like lower ltrim max min nullif rank replace round row_number rtrim strftime substr
    substring sum total trim typeof upper
    """.split()  # noqa: SIM905
)


class QueryError(Exception):
    """Raised if a query is refused or fails; the policy reads the message."""


@dataclass(frozen=True)
class Domain:
    """The subject of a database: a table of owners, and a table of things that belong to them."""

    owners: str
    owner: str
    names: tuple[str, ...]
    place: str
    places: tuple[str, ...]
    things: str
    kind: str
    kinds: tuple[str, ...]
    amount: str

    @property
    def schema(self) -> str:
        """The SQL that creates the two tables."""
        return (
            f"CREATE TABLE {self.owners} (id INTEGER PRIMARY KEY, name TEXT, {self.place} TEXT);\n"
            f"CREATE TABLE {self.things} (id INTEGER PRIMARY KEY, {self.owner}_id INTEGER, {self.kind} TEXT, "
            f"{self.amount} INTEGER);"
        )


DOMAINS = (
    Domain(
        "customers",
        "customer",
        ("Ada", "Bela", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "June"),
        "city",
        ("Bonn", "Lima", "Oslo"),
        "orders",
        "item",
        ("book", "lamp", "rug", "vase"),
        "price",
    ),
    Domain(
        "authors",
        "author",
        ("Amir", "Berit", "Carlo", "Dora", "Emil", "Freya", "Goran", "Hugo", "Inga", "Jan"),
        "country",
        ("Chile", "Ghana", "Japan"),
        "books",
        "genre",
        ("crime", "essay", "poetry", "travel"),
        "pages",
    ),
    Domain(
        "growers",
        "grower",
        ("Alma", "Bruno", "Chen", "Dina", "Ezra", "Fay", "Gil", "Hilde", "Ines", "Juri"),
        "valley",
        ("East", "North", "South"),
        "harvests",
        "fruit",
        ("apple", "cherry", "pear", "plum"),
        "kilos",
    ),
)


class Result(NamedTuple):
    """The result of a query."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool
    """Whether rows were left out."""


class Database:
    """The database of ``domain`` with rows from ``seed``, opened at its first query.

    All methods must run on the same thread. The connection is closed when the object is deleted.
    """

    def __init__(self, domain: Domain, seed: int) -> None:
        self.domain = domain
        self._seed = seed
        self._connection: sqlite3.Connection | None = None
        self._steps = 0
        self._end = 0.0

    def __del__(self) -> None:
        """Close the connection, on whichever thread drops the last reference."""
        if self._connection is not None:
            self._connection.close()

    def run(self, sql: str) -> Result:
        """The result of one SELECT.

        Raises:
            QueryError: it is not a SELECT, reads what it may not, or takes too long.
        """
        _check(sql)
        if self._connection is None:
            self._connection = self._open()
        self._steps, self._end = 0, time.monotonic() + MAX_SECONDS
        try:
            cursor = self._connection.execute(sql)
            found = [[_plain(value) for value in row] for row in cursor.fetchmany(MAX_ROWS + 1)]
            columns = [column[0] for column in cursor.description or ()]
        except (sqlite3.Error, sqlite3.Warning) as error:
            if str(error) == "interrupted":
                raise QueryError("the query takes too long") from None
            raise QueryError(str(error)) from None
        except (MemoryError, OverflowError, UnicodeError, ValueError) as error:
            raise QueryError(f"the query cannot be run: {error}") from None
        if not columns:
            raise QueryError("this gives no rows; write one SELECT")
        return Result(columns, found[:MAX_ROWS], len(found) > MAX_ROWS)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=0)
        connection.executescript(self.domain.schema)
        owners, things = _rows(self.domain, random.Random(f"sql {self._seed}"))
        connection.executemany(f"INSERT INTO {self.domain.owners} VALUES (?, ?, ?)", owners)
        connection.executemany(f"INSERT INTO {self.domain.things} VALUES (?, ?, ?, ?)", things)
        for limit, most in _LIMITS.items():
            connection.setlimit(limit, most)
        tables = {self.domain.owners, self.domain.things, "sqlite_master", "sqlite_schema"}
        connection.set_authorizer(lambda *asked: _authorized(tables, *asked))
        connection.set_progress_handler(self._tick, 1000)
        return connection

    def _tick(self) -> bool:
        """Whether sqlite must stop the query."""
        self._steps += 1000
        return self._steps > MAX_STEPS or time.monotonic() > self._end


def _rows(domain: Domain, rng: random.Random) -> tuple[Iterable[tuple[Any, ...]], Iterable[tuple[Any, ...]]]:
    names = rng.sample(domain.names, rng.randint(6, len(domain.names)))
    owners = [(number, name, rng.choice(domain.places)) for number, name in enumerate(sorted(names), start=1)]
    things = [
        (number, rng.randint(1, len(owners)), rng.choice(domain.kinds), rng.randint(1, 99))
        for number in range(1, rng.randint(12, 25))
    ]
    return owners, things


def _check(sql: str) -> None:
    """Refuse a query that could grow too large before it runs."""
    if len(sql) > _LIMITS[sqlite3.SQLITE_LIMIT_SQL_LENGTH]:
        raise QueryError(f"the query has {len(sql)} characters, at most 2000 are read")
    words = re.findall(r"[a-z_]+|,", sql.lower())
    if "with" not in words:
        return
    selects = sum(word in ("select", "values") for word in words)
    sources = sum(word in (",", "join", "from", "in") for word in words)
    if selects > MAX_SELECTS or sources > MAX_SOURCES:
        raise QueryError("a query with WITH must have fewer parts; write it with fewer SELECTs and tables")


def _authorized(
    tables: set[str], action: int, first: str | None, second: str | None, schema: str | None, *_: Any
) -> int:
    """Allow SELECT, reading the tables, and the listed functions; no recursion, PRAGMA, ATTACH or writing."""
    allowed = (
        action == sqlite3.SQLITE_SELECT
        or (
            action == sqlite3.SQLITE_READ and (first in tables or schema is None)
        )  # no schema: a name that WITH defines
        or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS)
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _plain(value: Any) -> Any:
    """The value as JSON; infinities, which JSON lacks, become text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if abs(value) < float("inf") else str(value)
    return value
