"""JSON in files, read with errors that name the file or the line, and the check that a value is JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError

MAX_LINE = 1 << 28
"""Longest line that is read, in bytes; a compressed file may claim lines without end."""
PARQUET, GIT_LFS = b"PAR1", b"version https://git-lfs"
"""How a Parquet file and a pointer of Git LFS begin."""


def check_json(value: Any, what: str) -> str:
    """Return ``value`` as JSON text with sorted keys.

    Raises:
        DataError: ``value`` is not JSON, or has a key that is not text, which would change when it is read back; the
            message begins with ``what``.
    """
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        if (key := _non_text_key(value)) is not None:
            raise TypeError(f"keys are text, found {key!r}")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{what} is JSON only: {error}; convert the value first") from None
    return text


def _non_text_key(value: Any) -> Any:
    """A key of any dict in ``value`` that is not text; None if there is none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return key
            if isinstance(inner, dict | list | tuple) and (found := _non_text_key(inner)) is not None:
                return found
    elif isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, dict | list | tuple) and (found := _non_text_key(inner)) is not None:
                return found
    return None


def json_object(text: str | bytes, where: str, cure: str = "repair or remove the line") -> dict[str, Any]:
    """Parse ``text``, which is one JSON object.

    Raises:
        DataError: it is not; the message begins with ``where`` and ends with ``cure``.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{where}: not JSON ({error}); {cure}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(value).__name__}; {cure}")
    return value


def read_json(path: Path, cure: str) -> dict[str, Any]:
    """Read a file that is one JSON object.

    Raises:
        DataError: it cannot be read, or is something else; the message has the path and the cure.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; {cure}") from None
    return json_object(text, str(path), cure)


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the object on each non-blank line of ``path``.

    Raises:
        DataError: the file is missing, is not UTF-8, or a line (named by its number) is not a JSON object.
    """
    for _, row in read_numbered_jsonl(path):
        yield row


def read_numbered_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Like ``read_jsonl``, but yield (line number from 1, object), so that the caller's errors can name the line."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            yield from jsonl_rows(file, path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None


def jsonl_rows(file: BinaryIO, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of an open file; ``path`` is for messages.

    Raises:
        DataError: a line is longer than ``MAX_LINE`` or no JSON object, or the file is not JSONL at all.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            _check_start(line, path)
        if len(line) > MAX_LINE:
            raise DataError(f"{path}, line {number} is longer than {MAX_LINE >> 20} MiB; split or remove it")
        if line.strip():
            yield number, json_object(line, f"{path}, line {number}")


def _check_start(line: bytes, path: Path) -> None:
    """Raise ``DataError`` if a file that begins with ``line`` is known to be something else than JSONL."""
    if line.startswith(PARQUET):
        raise DataError(f"{path} is a Parquet file, and JSONL is needed here; lachesis.read_rows reads both")
    if line.startswith(GIT_LFS):
        raise DataError(f"{path} is a pointer of Git LFS, without the data; fetch the file with `git lfs pull`")
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16; convert it to UTF-8, for example with `iconv -f utf-16 -t utf-8`")
