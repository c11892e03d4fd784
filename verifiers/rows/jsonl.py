"""JSON: lines of a file, read with errors that name the line, and values that must be it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError


def check_json(value: Any, what: str) -> str:
    """Return ``value`` as JSON text, keys sorted, or raise ``DataError`` with ``what`` it is.

    A key that is no text is refused: it would come back as one.
    """
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        if (key := _odd_key(value)) is not None:
            raise TypeError(f"keys are text, found {key!r}")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{what} is JSON only: {error}; convert the value first") from None
    return text


def _odd_key(value: Any) -> Any:
    """A key of some dict in ``value`` that is no text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return key
            if isinstance(inner, dict | list | tuple) and (odd := _odd_key(inner)) is not None:
                return odd
    elif isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, dict | list | tuple) and (odd := _odd_key(inner)) is not None:
                return odd
    return None


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the object on each non-blank line of ``path``.

    Raises:
        DataError: the file is missing, is not UTF-8, or a line (named by its number) is not a JSON object.
    """
    for _, row in read_numbered_jsonl(path):
        yield row


def read_numbered_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) as ``read_jsonl`` does, for errors of the reader's own."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:  # JSONDecodeError and UnicodeDecodeError alike
                    raise DataError(f"{path}, line {number}: not JSON ({error}); repair or remove the line") from None
                if not isinstance(row, dict):
                    raise DataError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}")
                yield number, row
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
