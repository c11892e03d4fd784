"""Test database of a task: the SQL that makes it, its tables and rows, or an SQLite file."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..sandbox.job import MIB, is_plain_name

MAX_DATABASES = 32
"""Most databases of one task."""
MAX_BYTES = 32 * MIB
"""Most bytes of all databases of one task together."""


class Databases(NamedTuple):
    """The databases of a task, as a job reads them.

    Attributes:
        specs: how to open each: ``{"file": name}``, or ``{"schema": SQL, "rows": {table: rows}}``.
        files: the content of the files.
    """

    specs: list[dict[str, Any]]
    files: dict[str, bytes]


def read_databases(value: Any) -> Databases:
    """Return the databases that a row lists; one alone may be without a list.

    Each is a text (SQL that creates and fills the tables), ``{"schema": SQL, "rows": {table: [[…], …]}}``, or
    ``{"sqlite": an SQLite file in base64}``.

    Raises:
        DataError: there are none or too many, or one is malformed.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(listed) <= MAX_DATABASES or value is None:
        raise DataError(f"a task has 1 to {MAX_DATABASES} databases, found {0 if value is None else len(listed)}")
    specs, files = list[dict[str, Any]](), dict[str, bytes]()
    for number, one in enumerate(listed):
        if isinstance(one, Mapping) and set(one) == {"sqlite"}:
            files[f"{number}.sqlite"] = _decoded(one["sqlite"])
            specs.append({"file": f"{number}.sqlite"})
        else:
            specs.append(_made(one))
    _check_size(specs, files)
    return Databases(specs, files)


def stored_databases(folder: str, name: str) -> Databases:
    """Return the databases in ``folder/name``: its ``.sqlite`` and ``.db`` files, as in Spider and its test suite.

    Raises:
        DataError: there is no such folder, or it has no database.
    """
    if not is_plain_name(name):
        raise DataError(f"db_id is the name of a folder, found {name!r:.80}; repair the dataset")
    paths = sorted(path for path in (Path(folder) / name).glob("*") if path.suffix in (".sqlite", ".db"))
    if not 0 < len(paths) <= MAX_DATABASES:
        raise DataError(f"{folder}/{name} has {len(paths)} databases, but 1 to {MAX_DATABASES} are needed")
    if sum(path.stat().st_size for path in paths) > MAX_BYTES:
        raise DataError(f"the databases in {folder}/{name} have more than {MAX_BYTES} bytes together; leave some out")
    files = {f"{number}.sqlite": path.read_bytes() for number, path in enumerate(paths)}
    return Databases([{"file": each} for each in files], files)


def _made(one: Any) -> dict[str, Any]:
    if isinstance(one, str) and one.strip():
        return {"schema": one, "rows": {}}
    if not isinstance(one, Mapping) or not isinstance(one.get("schema"), str) or not set(one) <= {"schema", "rows"}:
        raise DataError(f"a database is SQL, or an object with schema and rows, or with sqlite; found {one!r:.80}")
    rows = one.get("rows") or {}
    cells = None | str | int | float
    if not isinstance(rows, Mapping) or not all(
        isinstance(row, list | tuple) and all(isinstance(cell, cells) for cell in row)
        for table in rows.values()
        for row in (table if isinstance(table, Sequence) else [None])
    ):
        raise DataError(f"a database's rows are lists of numbers, texts and nulls by table, found {rows!r:.80}")
    return {"schema": one["schema"], "rows": dict(rows)}


def _decoded(text: Any) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise DataError(f"a database's sqlite is a file in base64, found {text!r:.40}") from None
    if not content.startswith(b"SQLite format 3\0"):
        raise DataError("a database's sqlite is not an SQLite file; repair the dataset")
    return content


def _check_size(specs: Sequence[dict[str, Any]], files: Mapping[str, bytes]) -> None:
    size = sum(map(len, files.values())) + len(json.dumps(specs))
    if size > MAX_BYTES:
        raise DataError(f"the task's databases have {size} bytes together, but at most {MAX_BYTES}; make them smaller")
