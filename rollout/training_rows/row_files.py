"""The files of a data set: shards of JSONL or Parquet that ``datasets`` loads, written in a given order."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ...verifiers.errors import InfrastructureError
from ...verifiers.files import replace_text
from .conversation import as_json
from .packing import pack, packed
from .rows import Row

Format = Literal["jsonl", "parquet"]

MANIFEST = "manifest.json"
"""Says what the rows are, and why trajectories were left out."""

_INTEGERS = ("input_ids", "labels", "seq_lengths")
_LISTS = ("messages", "prompt", "completion", "chosen", "rejected", "tools")
_ORDER = (*_INTEGERS, *_LISTS, "metadata")
"""The columns: lists of integers, lists of objects, and an object."""
_BATCH = 500
"""Rows that are turned into Arrow at once."""


class Kept(NamedTuple):
    """A row in the spool: what it is sorted by, where it is, and how many tokens it has (0 if that is not known)."""

    key: tuple[Any, ...]
    offset: int
    length: int
    tokens: int


class Spool:
    """Rows on disk that can be read again in another order; a context manager that removes them in the end.

    Attributes:
        kept: the rows.
        columns: the names of all their columns.

    Args:
        folder: where its temporary file is.

    Raises:
        InfrastructureError: the disk refuses, here or in ``add``.
    """

    def __init__(self, folder: Path) -> None:
        self.kept: list[Kept] = []
        self.columns: set[str] = set()
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise _refused(folder, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what a full disk did not take was reported by ``add``
            self._file.close()

    def add(self, key: tuple[Any, ...], row: Row) -> None:
        """Add a row that is sorted by ``key``."""
        text = as_json(row).encode()
        try:
            offset = self._file.seek(0, 2)
            self._file.write(text)
        except OSError as error:
            raise _refused(self._folder, error) from None
        self.columns.update(row)
        self.kept.append(Kept(key, offset, len(text), len(row.get("input_ids", ()))))

    def rows(self, most: int | None) -> list[list[Kept]]:
        """The rows in order, each alone; with ``most`` those that are packed into one row of so many tokens."""
        ordered = sorted(self.kept)
        if most is None:
            return [[kept] for kept in ordered]
        return [[ordered[number] for number in numbers] for numbers in pack([kept.tokens for kept in ordered], most)]

    def read(self, together: Sequence[Kept], packing: bool) -> Row:
        """The row of one or several that were kept."""
        found = []
        for kept in together:
            self._file.seek(kept.offset)
            found.append(json.loads(self._file.read(kept.length)))
        return packed(found) if packing else found[0]


def write_data_set(
    spool: Spool,
    folder: Path,
    file_format: Format,
    shard_rows: int,
    most: int | None,
    manifest: Mapping[str, Any],
) -> tuple[int, list[str]]:
    """Write all rows as ``train-00000-of-00003.jsonl`` and so on, in place of any there before.

    Every file is complete before the first gets its name, and the manifest is written last.

    Args:
        spool: the rows.
        folder: an existing folder.
        file_format: of the files.
        shard_rows: most rows of one file.
        most: the most tokens of a packed row; None to pack nothing.
        manifest: what ``manifest.json`` says besides the names of the files and the number of their rows.

    Returns:
        The number of rows, and the names of the files.

    Raises:
        InfrastructureError: the disk refuses.
    """
    rows = spool.rows(most)
    shards = [rows[first : first + shard_rows] for first in range(0, len(rows), shard_rows)]
    names = [f"train-{number:05d}-of-{len(shards):05d}.{file_format}" for number in range(len(shards))]
    columns = sorted(spool.columns | ({"seq_lengths"} if most is not None else set()), key=_ORDER.index)
    told = json.dumps({**manifest, "rows": len(rows), "files": names}, indent=1, allow_nan=False) + "\n"
    try:
        drafts = []
        for name, shard in zip(names, shards, strict=True):
            drafts.append(folder / f"{name}.draft")
            made = (spool.read(together, most is not None) for together in shard)
            if file_format == "parquet":
                _write_parquet(drafts[-1], made, columns)
            else:
                _write_jsonl(drafts[-1], made)
        (folder / MANIFEST).unlink(missing_ok=True)
        for old in shard_paths(folder):
            old.unlink()
        for draft in drafts:
            draft.rename(draft.with_suffix(""))
        for stale in folder.glob("train-*.draft"):  # of a process that was killed
            stale.unlink()
        replace_text(folder / MANIFEST, told)
    except OSError as error:
        raise _refused(folder, error) from None
    return len(rows), names


def shard_paths(folder: Path) -> list[Path]:
    """The files of rows in a folder that ``write_shards`` wrote, in order."""
    return sorted(path for ending in ("jsonl", "parquet") for path in folder.glob(f"train-*-of-*.{ending}"))


def _refused(folder: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(f"cannot write to {folder}: {error.strerror}; make room and run it again")


def _write_jsonl(path: Path, rows: Iterator[Row]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(as_json(row).encode() + b"\n")


def _write_parquet(path: Path, rows: Iterator[Row], columns: Sequence[str]) -> None:
    """Messages, tools and metadata are JSON, which ``datasets`` from version 4.7 on gives back as objects.

    Columns of structs would not do: Arrow gives every object the keys of all others, with null for each that it lacks.
    """
    json_type = pa.json_(pa.string())
    types = {
        name: pa.list_(pa.int32()) if name in _INTEGERS else pa.list_(json_type) if name in _LISTS else json_type
        for name in columns
    }
    features = {name: _feature(name) for name in columns}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()], metadata=told)
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, _BATCH)):
            arrays = [_array([row.get(name) for row in batch], name, types[name]) for name in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _array(values: list[Any], name: str, kind: pa.DataType) -> pa.Array:
    if name in _INTEGERS:
        return pa.array(values, kind)
    if name not in _LISTS:
        return pa.array([as_json(value) for value in values], pa.string()).cast(kind)
    texts = [None if value is None else [as_json(item) for item in value] for value in values]
    return pa.array(texts, pa.list_(pa.string())).cast(kind)


def _feature(name: str) -> dict[str, Any]:
    if name in _INTEGERS:
        return {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}
    return {"feature": {"_type": "Json"}, "_type": "List"} if name in _LISTS else {"_type": "Json"}
