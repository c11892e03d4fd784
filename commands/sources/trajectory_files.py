"""The files that hold trajectories, read in parts: a run's store and an evaluation's file of scores."""

import hashlib
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from ...rollout.store import Frame, TrajectoryStore
from ...verifiers.errors import DataError
from ...verifiers.files import whole_lines

log = logging.getLogger("lachesis")

PART = 256
"""Lines of an evaluation in one part."""


class NumberedLine(NamedTuple):
    """One stored trajectory as JSON text, with the number of its group."""

    group: int | None
    text: bytes


class TrajectoryFile(Protocol):
    """A file of trajectories that may grow, in parts that are read one at a time."""

    def parts(self) -> list[Frame]:
        """Look at the file again, and return its parts in order. A part that was returned before may be missing."""

    def lines(self, part: Frame) -> list[NumberedLine]:
        """Return the trajectories of a part; the group is None if the text has it. Raises ``DataError``."""


class RunTrajectories:
    """The trajectories of a run: a part is a frame of its store, which is one step.

    Args:
        path: the store's file, which may be missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: TrajectoryStore | None = None
        self._seen = (-1, -1)

    def parts(self) -> list[Frame]:
        """Return the frames; the index is read again only if the file has changed."""
        check_files(self._path, self._path.with_name(f"{self._path.name}.index"))
        if self._path.exists() and self._seen != (seen := _state(self._path)):
            self._store, self._seen = TrajectoryStore(self._path), seen
        return list(self._store.frames) if self._store else []

    def lines(self, part: Frame) -> list[NumberedLine]:
        """Return a step's trajectories."""
        return [NumberedLine(None, line) for line in self._store.lines(part)] if self._store else []


class EvalTrajectories:
    """The trajectories of an evaluation. Its tasks are numbered in the order of their first line.

    Args:
        path: the file of scores, whose first line is the header.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[Frame] = []
        self._numbers: dict[bytes, int] = {}
        self._groups: dict[int, list[int]] = {}
        self._end = 0
        self._inode = 0

    def parts(self) -> list[Frame]:
        """Return the parts; lines that were added since the last call make new ones."""
        check_files(self._path)
        if self._inode != (inode := self._path.stat().st_ino):
            self._parts, self._numbers, self._groups, self._end, self._inode = [], {}, {}, 0, inode
        lines, end = whole_lines(self._path, self._end)
        offset = self._end
        if self._end == 0 and lines:
            offset = len(lines[0]) + 1
            lines = lines[1:]
        for first in range(0, len(lines), PART):
            some = lines[first : first + PART]
            numbers = [self._number(line) for line in some]
            length = sum(len(line) + 1 for line in some)
            self._groups[offset] = numbers
            self._parts.append(Frame(0, offset, length, len(some), min(numbers), max(numbers)))
            offset += length
        self._end = end
        return list(self._parts)

    def lines(self, part: Frame) -> list[NumberedLine]:
        """Return the trajectories of a part."""
        with self._path.open("rb") as file:
            file.seek(part.offset)
            texts = file.read(part.length).splitlines()
        numbers = self._groups[part.offset]
        if len(texts) != len(numbers):
            raise DataError(f"{self._path} has changed while it was read; load the page again")
        return [NumberedLine(number, text) for number, text in zip(numbers, texts, strict=True)]

    def _number(self, line: bytes) -> int:
        try:
            asked = _task_of(line).asked
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            asked = line  # its row reports what is wrong with it
        return self._numbers.setdefault(asked, len(self._numbers))


class _WithTask(msgspec.Struct):
    environment: str
    task: msgspec.Raw
    attempt: int = 0

    @property
    def asked(self) -> bytes:
        """What lines of one task have in common."""
        return self.environment.encode() + bytes(self.task)


_task_of = msgspec.json.Decoder(_WithTask).decode


class PlacedLine(NamedTuple):
    """A stored trajectory of an evaluation with its place: the task's number, as the viewer counts, and the attempt."""

    group: int
    attempt: int
    text: bytes


def eval_lines(path: Path) -> Iterator[PlacedLine]:
    """Yield the lines of an evaluation's file by task and attempt; the last one of an attempt that was made again.

    Only the places of the lines are in memory. A line that is damaged is left out, and logged.
    """
    numbers: dict[bytes, int] = {}
    places: dict[tuple[int, int], int] = {}
    damaged = offset = 0
    with path.open("rb") as file:
        for line in file:
            if offset and line.endswith(b"\n"):  # after the header, and not cut off
                try:
                    found = _task_of(line)
                    asked, attempt = found.asked, found.attempt
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    asked, attempt = line.rstrip(b"\n"), -1
                    damaged += 1
                number = numbers.setdefault(hashlib.blake2b(asked, digest_size=16).digest(), len(numbers))
                if attempt >= 0:
                    places[number, attempt] = offset
            offset += len(line)
        if damaged:
            log.warning("%s: %d damaged lines are left out", path, damaged)
        for (number, attempt), start in sorted(places.items()):
            file.seek(start)
            yield PlacedLine(number, attempt, file.readline())


def check_files(*paths: Path) -> None:
    """Refuse to read what is neither a file nor missing: a pipe or a device may never end.

    Raises:
        DataError: one of ``paths`` is something else.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; remove it, or restore it from a backup") from None
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is not a regular file; remove it, or restore it from a backup")


def read_header(path: Path) -> dict[str, Any] | None:
    """Return the header of an evaluation's file of scores; None if the file is something else."""
    try:
        with path.open("rb") as file:
            first = msgspec.json.decode(file.readline(1 << 20))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    header = first.get("header") if isinstance(first, dict) else None
    return header if isinstance(header, dict) else None


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_size
