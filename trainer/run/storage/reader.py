"""A read-only view of a run: config, metrics, trajectories and checkpoints, also while the run is being written."""

import fcntl
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ....rollout.store import Stored, TrajectoryStore
from ....verifiers.errors import ConfigError, DataError
from ....verifiers.files import whole_lines
from ....verifiers.rows.jsonl import json_object, read_json
from ...config import RunConfig, load_config_of
from ...tune_config import kind_of
from .checkpoint import sealed

log = logging.getLogger("lachesis")

CONFIG, METRICS, SUMMARY, LOCK = "config.toml", "metrics.jsonl", "summary.json", "lock"
TRAJECTORIES, CHECKPOINTS = "trajectories.jsonl.zst", "checkpoints"
"""Names of files and folders in a run's folder."""


class Mark(NamedTuple):
    """How far ``metrics.jsonl`` has been read.

    Attributes:
        file: the file's inode, because a resumed run replaces the file by a shorter one.
        offset: how many bytes were read.
    """

    file: int = 0
    offset: int = 0


class NewRows(NamedTuple):
    """The rows of ``metrics.jsonl`` after a mark.

    Attributes:
        rows: the rows, in order.
        mark: the position after the last row.
        again: whether the file was replaced, so that ``rows`` are all of its rows and replace those read before.
    """

    rows: list[dict[str, Any]]
    mark: Mark
    again: bool


class Run:
    """Reads the folder of a run without changing it, and without torch.

    Every call reads the files as they are now, so one ``Run`` can follow a run that is under way.

    Args:
        path: the run's folder.

    Raises:
        ConfigError: There is no run in the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            raise ConfigError(f"{self.path} is not a run's folder (it has no {CONFIG}); check the path")

    def config(self, overrides: Sequence[str] = ()) -> RunConfig:
        """Return the resolved config with ``--part.key value`` overrides; its secrets are redacted.

        Raises:
            ConfigError: The config or an override is invalid.
        """
        return load_config_of(kind_of(self.path / CONFIG), self.path / CONFIG, overrides)

    def metrics(self) -> list[dict[str, Any]]:
        """Return all rows of ``metrics.jsonl``, one for each step, in order; a damaged line is left out, and logged."""
        return self.new_metrics().rows

    def new_metrics(self, mark: Mark = Mark()) -> NewRows:  # noqa: B008 - immutable
        """Return the rows written since ``mark``, which an earlier call returned; without a mark all rows.

        A damaged line is left out, and logged as a warning.
        """
        path = self.path / METRICS
        if not path.exists():
            return NewRows([], Mark(), mark != Mark())
        inode = path.stat().st_ino
        again = mark.file not in (0, inode)
        rows, offset = _rows(path, 0 if again else mark.offset, skip_damaged=True)
        return NewRows(rows, Mark(inode, offset), again)

    def summary(self) -> dict[str, Any] | None:
        """Return ``summary.json``, which is written when the run ends; None before that.

        Raises:
            DataError: It is damaged.
        """
        path = self.path / SUMMARY
        return read_json(path, "delete it; --resume writes it again") if path.exists() else None

    def checkpoints(self) -> list[Path]:
        """Return the complete checkpoints, the oldest first."""
        return sealed(self.path / CHECKPOINTS)[::-1]

    def alive(self) -> bool:
        """Whether a process is writing this run now, which holds the folder's lock."""
        try:
            with (self.path / LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, and released at once: writers wait for it
        except BlockingIOError:
            return True
        except OSError:  # there is no lock that a writer could hold
            return False
        return False

    def steps(self) -> list[int]:
        """Return the steps whose trajectories are stored, in order."""
        return self._store().steps

    def trajectories(
        self, step: int | None = None, group: int | None = None, attempt: int | None = None
    ) -> Iterator[Stored]:
        """Yield the stored trajectories in order: all, or those of a step, a group or an attempt.

        With ``step`` or ``group``, only the parts of the file that the index names are read.

        Raises:
            DataError: The file was damaged, or was written by another version. It is raised after all that can be read.
        """
        for stored in self._store().read(step, group):
            if attempt in (None, stored.attempt):
                yield stored

    def _store(self) -> TrajectoryStore:
        return TrajectoryStore(self.path / TRAJECTORIES)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a ``metrics.jsonl``, without a last line that a crash cut off.

    Raises:
        DataError: A complete line is no row of metrics. The message has its number.
    """
    return _rows(path, 0)[0]


def _rows(path: Path, offset: int, skip_damaged: bool = False) -> tuple[list[dict[str, Any]], int]:
    """Return the rows after byte ``offset``, and the offset after the last of them."""
    rows = []
    try:
        lines, end = whole_lines(path, offset)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; restore it from a backup") from None
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_row(line, f"{path}, line {number}" + (f" after byte {offset}" if offset else "")))
        except DataError as error:
            if not skip_damaged:
                raise
            log.warning("%s; the reader leaves it out", error)
    return rows, end


def _row(line: bytes, where: str) -> dict[str, Any]:
    row = json_object(line, where)
    if type(row.get("step")) is not int:
        raise DataError(f"{where}: a step is a whole number, found {row.get('step')!r:.80}; repair or remove the line")
    for name, value in row.items():
        if value is not None and not (type(value) in (int, float) and abs(value) <= sys.float_info.max):
            raise DataError(
                f"{where}: {name!r:.80} is a finite number or null, found {value!r:.80}; repair or remove the line"
            )
    return row
