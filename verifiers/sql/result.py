"""Verifier for SQL queries, by the results that they have on the task's databases."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..case import Case
from ..code.fences import fenced_blocks
from ..code.tally import status_of_job
from ..errors import ConfigError, DataError, nearest
from ..registry import verifier
from ..sandbox.job import MIB, Execution, Job, Limits
from ..sandbox.protocol import Sandbox
from ..text.final_answer import last_tagged
from ..text.think import split_reasoning
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .database import Databases, read_databases, stored_databases
from .table import Table, difference

COLUMNS = ("position", "any", "named")
MAX_QUERY = 20_000
"""Longest query of an answer, in characters."""
MAX_ROWS = 10_000
"""Most rows of an expected result."""
MAX_RESULT = 4 * MIB
"""Most bytes of the results of one query on all databases."""
MAX_SECONDS = 60.0
_REMEMBERED = 256
_QUERY = re.compile(r"\s*(?:--[^\n]*\n|/\*.*?\*/|[\s(])*(?:select|with|values)\b", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)

Expected = list[list[Table]]
"""For each database, the right results: in the order of the query, and with open orders the other way round."""
_known: dict[str, Expected] = {}


@verifier("sql")
@dataclass(frozen=True)
class Sql:
    """The query in the answer gives the expected rows on every database of the task, in the sandbox.

    The answer is the last block marked as SQL, the last ``<answer>``, or the whole reply. ``task.answer`` is the right
    query, or an object with the values below; ``task.info`` may have them too. The query can only read: writing,
    ``ATTACH``, ``PRAGMA``, extensions and random functions are refused. Several databases catch a query that is right
    on one of them by luck. Rows count as often as they occur. Their order matters only if the right query ends in
    ``ORDER BY``; rows that are equal in it may have any order. A null equals only a null, and 1 equals 1.0 but not '1'.

    Attributes:
        query: the right query.
        results: instead of it, the expected rows for each database.
        ordered: whether the order of ``results`` matters.
        databases: each is SQL that creates and fills the tables, or ``{"schema": SQL, "rows": {table: [[…], …]}}``, or
            ``{"sqlite": file in base64}``.
        folder: a folder that has a folder with ``.sqlite`` files for each ``db_id``, as in Spider's test suite.
        db_id: the name of the databases in it.
        columns: by ``position`` whatever their names, in ``any`` order, or ``named``: by name and in any order.
        tolerance: allowed relative difference of numbers that are not both integers.
        allow_empty: whether the expected rows may be none on all databases, which any query that finds nothing has.
        timeout: CPU seconds per database.
        memory: bytes for each of the two jobs, one for the right query and one for that of the answer.

    Example:
        {"verifier": "sql", "completion": "```sql\\nSELECT name FROM pets WHERE legs > 2\\n```",
         "answer": "SELECT name FROM pets WHERE legs = 4",
         "params": {"databases": ["CREATE TABLE pets (name, legs); INSERT INTO pets VALUES ('Rex', 4), ('Tweety', 2)"]}}
        -> 1.0
    """

    query: str = ""
    results: Sequence[Any] | None = None
    ordered: bool = False
    databases: Sequence[Any] | str | None = None
    folder: str = ""
    db_id: str = ""
    columns: str = "position"
    tolerance: float = 1e-6
    allow_empty: bool = False
    timeout: float = 5.0
    memory: int = 256 * MIB

    needs_sandbox: ClassVar[bool] = True
    row_params: ClassVar[frozenset[str]] = frozenset(
        {"query", "results", "ordered", "databases", "db_id", "columns", "tolerance"}
    )

    def __post_init__(self) -> None:
        if self.columns not in COLUMNS:
            raise ConfigError(
                f"verifier 'sql': unknown columns {self.columns!r}; {nearest(str(self.columns), COLUMNS)}"
            )
        bounds = {"tolerance": (0, 0.1), "timeout": (0.01, MAX_SECONDS), "memory": (16 * MIB, 8 << 30)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ConfigError(f"verifier 'sql': {name} is from {least:g} to {most:g}, found {value!r:.80}")
        if not isinstance(self.memory, int):
            raise ConfigError(f"verifier 'sql': memory is a whole number of bytes, found {self.memory!r}")

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the task has no databases, or neither a query nor results."""
        self._expectation(answer, info)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, ``timeout`` or ``limit`` with the number of the database that tells."""
        query = extract_query(case.completion)
        if not query:
            return unparseable("the answer contains no query")
        if len(query) > MAX_QUERY:
            return Verdict(0.0, "limit", f"the query has more than {MAX_QUERY} characters")
        try:
            databases, right, ordered = self._expectation(case.answer, case.task.info)
            expected = await self._expected(case.sandbox, databases, right)
        except DataError as error:
            return infra_error(str(error))
        most = max(len(table.rows) for tables in expected for table in tables)
        execution = await case.sandbox.run(self._job(databases, query, most, both_ways=False))
        return self._judge(execution, expected, ordered)

    def _judge(self, execution: Execution, expected: Expected, ordered: bool) -> Verdict:
        lines = execution.stdout.split("\n")[:-1]
        for number, tables in enumerate(expected, start=1):
            where = f"on database {number} of {len(expected)}"
            if number > len(lines) or "stdout" in execution.truncated:
                status, reason = status_of_job(execution)
                if status == "infra_error" or "ModuleNotFoundError" in execution.stderr:
                    return infra_error(f"the sandbox cannot run SQLite: {reason}")
                status = "limit" if status == "wrong" else status  # only its size can end the job
                return Verdict(0.0, status, f"the query ended {where}: {reason}")
            found = json.loads(lines[number - 1])
            if "error" in found:
                reason = f"the query fails {where}: {found['error']}"
                kind = found["kind"]
                if kind == "database":
                    return infra_error(f"{reason}; repair the dataset")
                return Verdict(0.0, kind, reason) if kind in ("timeout", "limit") else wrong(reason)
            if found["more"]:
                return wrong(f"the query gives more rows than expected {where}")
            table = Table(found["columns"], found["rows"])
            if why := difference(table, tables, ordered, self.columns, self.tolerance):
                return wrong(f"{where}: {why}", database=number)
        return passed(f"right on {len(expected)} databases")

    async def _expected(self, sandbox: Sandbox, databases: Databases, right: str | list[Table]) -> Expected:
        """The right results on each database; those of a query are computed once and remembered."""
        if isinstance(right, list):
            found = [[table] for table in right]
        else:
            files = sorted((name, hashlib.blake2b(content).hexdigest()) for name, content in databases.files.items())
            key = hashlib.blake2b(json.dumps([databases.specs, files, right]).encode()).hexdigest()
            if key not in _known:
                found = _read_results(await sandbox.run(self._job(databases, right, MAX_ROWS, both_ways=True)))
                while len(_known) >= _REMEMBERED:
                    _known.pop(next(iter(_known)))
                _known[key] = found
            found = _known[key]
        if not self.allow_empty and not any(table.rows for tables in found for table in tables):
            raise DataError(
                "the expected result is empty on every database, so any query that finds nothing would be right; "
                "add a database"
            )
        return found

    def _job(self, databases: Databases, query: str, most: int, both_ways: bool) -> Job:
        order = {"databases": databases.specs, "query": query, "most": most, "seconds": self.timeout}
        order |= {"bytes": MAX_RESULT // (2 * len(databases.specs)), "both_ways": both_ways}
        seconds = 2.0 + self.timeout * len(databases.specs) * (2 if both_ways else 1)
        limits = Limits(wall=2 * seconds, cpu=seconds, memory=self.memory, output=8 * MAX_RESULT, file_size=64 * MIB)
        return Job(_program(), json.dumps(order).encode(), databases.files, limits=limits)

    def _expectation(self, answer: Any, info: dict[str, Any]) -> tuple[Databases, str | list[Table], bool]:
        """The databases, the right query or the right results, and whether the order of rows matters."""
        given = {name: getattr(self, name) for name in ("query", "results", "ordered", "databases", "db_id")}
        for place in (answer if isinstance(answer, dict) else {}, info):
            given = {name: value or place.get(name) for name, value in given.items()}
        query = given["query"] or (answer if isinstance(answer, str) else "")
        if self.folder and given["db_id"]:
            databases = stored_databases(self.folder, str(given["db_id"]))
        else:
            databases = read_databases(given["databases"])
        if isinstance(query, str) and query.strip():
            return databases, query, is_ordered(query)
        results = given["results"]
        if not isinstance(results, list | tuple) or len(results) != len(databases.specs):
            raise DataError(
                f"a task has a right query, or the expected rows for each of its {len(databases.specs)} databases; "
                f"found {results!r:.80}"
            )
        return databases, [_as_table(rows) for rows in results], bool(given["ordered"])


def extract_query(completion: str) -> str:
    """Return the query in a completion: in the last SQL block, in the last ``<answer>``, or all of it; else empty."""
    text = split_reasoning(completion)[1]
    blocks = [block.text for block in fenced_blocks(text) if block.language in ("sql", "sqlite", "")]
    found = blocks[-1] if blocks else last_tagged(text) or text
    return found.strip() if _QUERY.match(found) else ""


def is_ordered(query: str) -> bool:
    """Return whether the outermost part of a query has ``ORDER BY``."""
    bare = _HIDDEN.sub(" ", query)
    while (flat := re.sub(r"\([^()]*\)", " ", bare)) != bare:
        bare = flat
    return re.search(r"\border\s+by\b", bare, re.IGNORECASE) is not None


@lru_cache
def _program() -> str:
    return Path(__file__).with_name("inside").joinpath("query.py").read_text()


def _read_results(execution: Execution) -> Expected:
    """The results of the right query, two for each database.

    Raises:
        DataError: it fails.
    """
    if execution.status != "ok" or execution.truncated:
        reason = execution.reason or execution.stderr[-200:]
        raise DataError(f"the right query does not end: {execution.status}: {reason}; repair the dataset")
    found = [json.loads(line) for line in execution.stdout.split("\n")[:-1]]
    expected: Expected = []
    for number, each in enumerate(found):
        backwards = number % 2 == 1
        if "error" in each or each["more"]:
            if backwards:  # as with a query that names a rowid
                continue
            reason = each.get("error", f"it gives more than {MAX_ROWS} rows, or too many bytes")
            raise DataError(f"the right query fails: {reason}; repair the dataset")
        table = Table(each["columns"], each["rows"])
        if backwards:
            expected[-1].append(table)
        else:
            expected.append([table])
    return expected


def _as_table(rows: Any) -> Table:
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise DataError(f"an expected result is a list of rows, which are lists of values; found {rows!r:.80}")
    if not all(isinstance(cell, None | str | int | float) for row in rows for cell in row):
        raise DataError(f"an expected row has numbers, texts and nulls, found {rows!r:.80}")
    width = {len(row) for row in rows}
    if len(width) > 1 or len(rows) > MAX_ROWS:
        raise DataError(f"an expected result has rows of one length, and at most {MAX_ROWS} of them")
    return Table([""] * max(width, default=0), rows)
