"""Training rows as the viewer shows them: a folder that ``lachesis generate`` wrote, or any file of such rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ...rollout.training_rows.candidate import Kind
from ...rollout.training_rows.row_files import MANIFEST, shard_paths
from ...verifiers.errors import DataError, LachesisError
from ...verifiers.rows.row_file import is_row_file, read_rows
from .token_texts import TokenTexts
from .trajectory_files import check_files

SHOWN = 20
"""Rows of one answer."""

MAX_MANIFEST = 1 << 24
"""Largest manifest that is read, in bytes."""

_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "tokens": ("input_ids", "labels"),
    "preference": ("prompt", "chosen", "rejected"),
    "completion": ("prompt", "completion"),
    "messages": ("messages",),
}
"""The columns of each kind of row, in the order in which they are looked for."""

_ROLES = {"prompt": "user"}
"""Who says a column that is a plain text; the other columns are the policy's."""


class TrainingRowsSource:
    """Rows to train on. They may be written again while they are shown.

    Args:
        key: how links name it.
        path: a folder with a manifest, or a file of rows.
    """

    kind = "rows"

    def __init__(self, key: str, path: Path) -> None:
        self.key, self.path = key, path

    def state(self) -> dict[str, Any]:
        """Return a line of the list."""
        manifest = self._manifest()
        files = self._files()
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.path.name,
            "path": str(self.path),
            "rows_are": manifest.get("kind", ""),
            "rows": manifest.get("rows"),
            "changed": max((file.stat().st_mtime for file in files), default=self.path.stat().st_mtime),
            "bytes": sum(file.stat().st_size for file in files),
        }

    def page(self) -> dict[str, Any]:
        """Return the state, and what the manifest says about the selection."""
        return {**self.state(), "manifest": self._manifest()}

    def sample(self, first: int) -> dict[str, Any]:
        """Return up to ``SHOWN`` rows from number ``first`` on, and whether there are more.

        Raises:
            DataError: a file is damaged.
        """
        found = list(islice(self._rows(), first, first + SHOWN + 1))
        texts = TokenTexts(str(self._manifest().get("model", "")))
        shown = [_shown(first + place, row, texts) for place, row in enumerate(found[:SHOWN])]
        return {"first": first, "rows": shown, "more": len(found) > SHOWN}

    def _rows(self) -> Iterator[dict[str, Any]]:
        for file in self._files():
            check_files(file)
            yield from read_rows(file)

    def _files(self) -> list[Path]:
        return shard_paths(self.path) if self.path.is_dir() else [self.path]

    def _manifest(self) -> dict[str, Any]:
        """The manifest; empty for a single file."""
        return (read_manifest(self.path) or {}) if self.path.is_dir() else {}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder of rows; None if the folder holds something else."""
    path = folder / MANIFEST
    try:
        if not path.is_file() or path.stat().st_size > MAX_MANIFEST:
            return None
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("kind") in tuple(_COLUMNS) else None


def holds_training_rows(path: Path) -> bool:
    """Whether ``path`` is a folder of rows, or a file whose first row can be trained on."""
    if path.is_dir():
        return read_manifest(path) is not None
    if not (path.is_file() and is_row_file(path)):
        return False
    try:
        first = next(read_rows(path), {})
    except LachesisError:
        return False
    return _kind_of(first) is not None


def _kind_of(row: Mapping[str, Any]) -> Kind | None:
    return next((kind for kind, names in _COLUMNS.items() if all(name in row for name in names)), None)


def _shown(number: int, row: Mapping[str, Any], texts: TokenTexts) -> dict[str, Any]:
    """A row for the page: conversations by column, or segments of tokens; other columns as they are."""
    kind = _kind_of(row)
    names = _COLUMNS[kind] if kind else ()
    answer: dict[str, Any] = {"number": number, "rows_are": kind or "", "conversations": {}, "segments": []}
    try:
        if kind == "tokens":
            answer["segments"] = _segments(row, texts)
        else:
            answer["conversations"] = {name: _conversation(name, row[name]) for name in names}
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:  # a file of somebody else's
        raise DataError(f"row {number} is not a training row ({type(error).__name__}: {error!s:.200})") from None
    shown = (*names, "seq_lengths", "metadata", "tools")
    answer["metadata"] = row.get("metadata")
    answer["tools"] = row.get("tools")
    answer["others"] = {name: _clipped(value) for name, value in row.items() if name not in shown}
    return answer


def _conversation(name: str, said: Any) -> list[dict[str, Any]]:
    """The messages of a column as the page of a trajectory has them, with a mark on replies that are not trained."""
    if isinstance(said, str):
        return [{"role": _ROLES.get(name, "assistant"), "content": said}]
    found = []
    for message in said:
        content = message.get("content") or ""
        text = content if isinstance(content, str) else json.dumps(content)
        if reasoning := message.get("reasoning_content"):
            text = f"<think>\n{reasoning}\n</think>\n\n{text}"
        trained = message.get("train", True) and name != "prompt"
        found.append(
            {
                "role": str(message["role"]),
                "content": text,
                "name": message.get("name") or "",
                "tool_calls": message.get("tool_calls") or [],
                "untrained": message["role"] == "assistant" and not trained,
            }
        )
    return found


def _segments(row: Mapping[str, Any], texts: TokenTexts) -> list[dict[str, Any]]:
    """The tokens as the page of a trajectory shows segments; a packed row has several."""
    ids, labels = [int(token) for token in row["input_ids"]], [int(label) for label in row["labels"]]
    lengths: Sequence[int] = row.get("seq_lengths") or [len(ids)]
    if len(ids) != len(labels) or sum(lengths) != len(ids):
        raise ValueError(f"{len(ids)} ids, {len(labels)} labels and lengths {lengths}")
    found, start = [], 0
    for length in lengths:
        part = slice(start, start + length)
        trained = [label >= 0 for label in labels[part]]
        found.append(
            {
                "agent": "this row",
                "trainable": True,
                "temperature": None,
                "branch": None,
                "ids": ids[part],
                "texts": texts(ids[part]),
                "sampled": trained,
                "trained": trained,
                "versions": [None] * length,
            }
        )
        start += length
    return found


def _clipped(value: Any) -> Any:
    """A column that the page does not know, as text that is not too long."""
    return str(value)[:2000]
