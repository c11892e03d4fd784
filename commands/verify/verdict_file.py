"""The verdicts on the rows of a file, one JSON line each, written as they come; such a file can be continued."""

import fcntl
import json
from collections import Counter
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...verifiers.errors import ConfigError, DataError, InfrastructureError
from ...verifiers.files import whole_lines
from ...verifiers.verdict import STATUSES, Verdict
from .line import Line


def verdict_row(line: Line, verdict: Verdict) -> dict[str, Any]:
    """The verdict as it is written; ``row`` is the digest of the line that was scored."""
    said = {"score": verdict.score, "status": verdict.status, "reason": verdict.reason}
    return said | {"elapsed_ms": round(1000 * verdict.elapsed, 3), "row": line.digest}


class VerdictFile:
    """Verdicts on disk, a context manager. The verdicts that ``path`` already holds are kept.

    Attributes:
        counts: status → number of verdicts with it in the file.

    Args:
        path: JSON Lines; created, with its folder, if it does not exist.
        source: the file that is scored.
        lines: of ``source``; the iterator is moved past those that ``path`` holds verdicts on.

    Raises:
        ConfigError: ``path`` cannot be written, is being written, or is ``source`` itself.
        DataError: ``path`` holds anything but verdicts on the first rows of ``source``.
    """

    def __init__(self, path: Path, source: Path, lines: Iterator[Line]) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        if path.exists() and source.exists() and path.samefile(source):
            raise ConfigError(f"{path} is the file that is scored; choose another -o")
        self._file = _opened(path)
        try:
            if path.is_file():
                self._take_over(source, lines)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Write verdicts; the operating system has them when this returns.

        Raises:
            InfrastructureError: the disk refuses; the verdicts written before are intact.
        """
        data = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise InfrastructureError(
                f"cannot write {self.path}: {error.strerror}; it holds {self.counts.total()} verdicts: "
                "make room and run the same command again to continue"
            ) from None
        self.counts.update(row["status"] for row in rows)

    def _take_over(self, source: Path, lines: Iterator[Line]) -> None:
        """Compare each verdict with its row, and cut off a last line that is torn."""
        verdicts, end = whole_lines(self.path)
        for number, text in enumerate(verdicts, start=1):
            status, digest = _parsed(text, f"{self.path}, line {number}")
            line = next(lines, None)
            if line is None:
                raise DataError(f"{self.path} holds more verdicts than {source} has rows; choose another -o")
            if digest != line.digest:
                raise DataError(
                    f"{self.path}, line {number}, is not a verdict on line {line.number} of {source}: it belongs to "
                    "another file, or the rows have changed since; choose another -o, or remove it to score all again"
                )
            self.counts[status] += 1
        self._file.truncate(end)
        self._file.seek(end)


def _opened(path: Path) -> FileIO:
    """``path``, locked, and without a buffer, so that a full disk is noticed at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        file = path.open("r+b" if path.is_file() else "wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another -o") from None
    try:
        if path.is_file():
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"{path} is being written by another command; wait for it, or choose another -o") from None
    return file


def _parsed(text: bytes, where: str) -> tuple[str, str]:
    """Status and digest of a verdict's line."""
    try:
        row = json.loads(text)
        status, digest = row["status"], row["row"]
    except (ValueError, RecursionError, TypeError, KeyError):
        status = digest = None
    if not isinstance(status, str) or status not in STATUSES or not isinstance(digest, str):
        raise DataError(
            f"{where}: not a verdict that this command wrote: {text[:80]!r}; choose another -o, or remove the file"
        )
    return status, digest
