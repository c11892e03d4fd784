"""A file of rows as datasets have them: Parquet, Arrow, JSONL, JSON or CSV; the text formats also as .gz or .zst."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from ..errors import DataError
from .arrow_file import read_arrow, read_parquet
from .jsonl import GIT_LFS, PARQUET, jsonl_rows

Row = dict[str, Any]

SUFFIXES = (".parquet", ".arrow", ".feather", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""How the names of files of rows end; the text formats may have ``.gz`` or ``.zst`` after it."""
_COMPRESSED = (".gz", ".zst")
_TEXT_SUFFIXES = SUFFIXES[3:]
_MAX_JSON = 1 << 30
"""Largest JSON file, in bytes, since it is read as a whole."""
_MAX_FIELD = 1 << 27
"""Longest field of a CSV file, in characters."""
_GZIP, _ZSTD, _ARROW, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"ARROW1", b"PK\x03\x04"
_WRAPPERS = ("data", "rows")
"""The only key of a JSON object around a list of rows."""


def is_row_file(path: Path) -> bool:
    """Whether the name of ``path`` says that it is a file of rows."""
    plain = path.with_suffix("") if path.suffix in _COMPRESSED else path
    return plain.suffix in (_TEXT_SUFFIXES if path.suffix in _COMPRESSED else SUFFIXES)


def read_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a file: Parquet, Arrow, JSONL, JSON (a list of objects) or CSV.

    Raises:
        DataError: the file cannot be read, or is something else; the message names the file, and the row if it is one
            row's fault.
    """
    for _, row in read_placed_rows(path):
        yield row


def read_placed_rows(path: str | Path) -> Iterator[tuple[str, Row]]:
    """Like ``read_rows``, but yield (file and line or row, row), so that the caller's errors can name the place.

    The content decides between Parquet, Arrow, compressed and plain text, and the name between JSONL, JSON and CSV.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(GIT_LFS))
            file.seek(0)
            yield from _rows(path, head, file)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        cure = "check the path, and copy the file again if it is not complete"
        raise DataError(f"cannot read {path}: {why}; {cure}") from None


def _rows(path: Path, head: bytes, file: BinaryIO) -> Iterator[tuple[str, Row]]:
    if head.startswith(PARQUET):
        return _numbered(path, "row", read_parquet(path))
    if head.startswith(_ARROW) or path.suffix in (".arrow", ".feather"):
        return _numbered(path, "row", read_arrow(path, head.startswith(_ARROW)))
    if path.suffix == ".parquet":
        raise DataError(
            f"{path} is not a Parquet file (it begins with {head[:8]!r}); copy it again, or correct its name"
        )
    if head.startswith(_ZIP):
        raise DataError(f"{path} is a zip archive; unpack it, and name the file or the folder inside")
    name = path.with_suffix("") if path.suffix in _COMPRESSED else path
    if name.suffix in SUFFIXES[:3]:
        raise DataError(f"{path}: unpack it first; Parquet and Arrow files are compressed inside")
    return _text_rows(path, name.suffix, _unpacked(head, file))


def _unpacked(head: bytes, file: BinaryIO) -> BinaryIO:
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=file))
    if head.startswith(_ZSTD):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file


def _text_rows(path: Path, suffix: str, file: BinaryIO) -> Iterator[tuple[str, Row]]:
    if suffix in (".csv", ".tsv"):
        return _numbered(path, "row", _csv_rows(path, file, "\t" if suffix == ".tsv" else ","))
    if suffix == ".json":
        return _json_rows(path, file)
    return _numbered(path, "line", jsonl_rows(file, path))


def _numbered(path: Path, what: str, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[str, Row]]:
    for number, row in rows:
        yield f"{path}, {what} {number}", row


def _json_rows(path: Path, file: BinaryIO) -> Iterator[tuple[str, Row]]:
    """The rows of a list of objects, also under the only key ``data`` or ``rows``, or of lines, as some call JSONL."""
    text = file.read(_MAX_JSON + 1)
    if len(text) > _MAX_JSON:
        raise DataError(f"{path} is JSON of more than {_MAX_JSON >> 20} MiB; convert it to JSONL or Parquet")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):  # several objects, a line each
            yield from _numbered(path, "line", jsonl_rows(io.BytesIO(text), path))
            return
        raise DataError(f"{path}: not JSON ({error}); repair the file") from None
    if isinstance(found, dict):
        found = next((found[key] for key in _WRAPPERS if len(found) == 1 and isinstance(found.get(key), list)), [found])
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found {type(found).__name__}; write one object for a row")
    for number, row in enumerate(found, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected an object, found {row!r:.80}; repair or remove it")
        yield f"{path}, row {number}", row


def _csv_rows(path: Path, file: BinaryIO, delimiter: str) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(max(_MAX_FIELD, csv.field_size_limit()))  # solutions are longer than the default of 128 KiB
    number = 0
    try:
        lines = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=delimiter, strict=True)
        header = next(lines, [])
        if double := next((name for name in header if header.count(name) > 1), None):
            raise DataError(f"{path}: two columns are named {double!r}; rename one of them")
        for fields in filter(None, lines):
            number += 1
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, row {number}: {len(fields)} fields for {len(header)} columns; quote fields that contain "
                    f"{delimiter!r} or line breaks"
                )
            yield number, dict(zip(header, fields, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, after row {number}: not UTF-8 ({error.reason}); convert the file to UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}, row {number + 1}: not CSV ({error}); repair the file") from None
