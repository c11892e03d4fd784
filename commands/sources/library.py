"""The runs, evaluations and training rows under some paths, found again as they come."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...trainer.run.storage.reader import CONFIG
from ...verifiers.errors import ConfigError, LachesisError
from .eval_source import EvalSource
from .run_source import RunSource
from .training_rows_source import TrainingRowsSource, holds_training_rows, read_manifest
from .trajectory_files import read_header

log = logging.getLogger("lachesis")

Source = RunSource | EvalSource
"""What holds trajectories."""
Listed = Source | TrainingRowsSource
"""What a library lists."""

DEPTH = 4
"""How many folders deep it is searched."""


class Library:
    """Finds runs, evaluations and training rows.

    Args:
        paths: runs, files of scores, files and folders of rows, and folders that hold such.

    Raises:
        ConfigError: a path does not exist, or is a file that holds neither scores nor rows.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [Path(os.path.abspath(path)) for path in paths]
        self._sources: dict[str, Listed] = {}
        self._told: set[str] = set()
        for path in self._paths:
            if not path.exists():
                raise ConfigError(f"{path} does not exist; give a run's folder, an evaluation's file or a folder")
            if path.is_file():
                _open(path)

    def sources(self) -> list[Listed]:
        """Return everything there is now, in the order of the paths and of the names below them."""
        seen = {}
        for path in self._paths:
            for found in _found(path, DEPTH):
                key = _key(found)
                try:
                    seen[key] = self._sources.get(key) or _open(found)
                except LachesisError as error:
                    if str(error) not in self._told:  # once, because the page asks again and again
                        self._told.add(str(error))
                        log.warning("%s", error)
        self._sources = seen
        return list(seen.values())

    def get(self, key: str) -> Listed | None:
        """Return the source with this key; None if there is none."""
        if key not in self._sources:
            self.sources()
        return self._sources.get(key)


def open_source(path: Path) -> Source:
    """Open one run or evaluation.

    Raises:
        ConfigError: ``path`` is neither.
    """
    if path.is_file() and read_header(path) is None:
        raise ConfigError(f"{path} is not an evaluation: its first line is no header; give the file that eval wrote")
    return EvalSource(_key(path), path) if path.is_file() else RunSource(_key(path), path)


def _open(path: Path) -> Listed:
    """Open one run, evaluation or set of rows; raises ``ConfigError`` if ``path`` is none."""
    if not (path / CONFIG).is_file() and read_header(path) is None and holds_training_rows(path):
        return TrainingRowsSource(_key(path), path)
    return open_source(path)


def _key(path: Path) -> str:
    """A short name for links: readable, and different for different paths."""
    digest = hashlib.blake2b(str(path).encode(errors="surrogateescape"), digest_size=3).hexdigest()
    stem = "".join(char if char.isascii() and char.isalnum() else "-" for char in path.stem)[:40].strip("-")
    return f"{stem}-{digest}" if stem else digest


def _found(path: Path, depth: int) -> Iterator[Path]:
    """The runs, files of scores and folders of rows at ``path`` or below; what cannot be read is passed over.

    A file of rows is found if it is named itself.
    """
    if path.is_file():
        named = depth == DEPTH and holds_training_rows(path)
        if named or (path.suffix == ".jsonl" and read_header(path) is not None):
            yield path
        return
    if (path / CONFIG).is_file():
        yield path
        return
    if read_manifest(path) is not None:
        yield path
    if depth:
        try:
            inner = sorted(path.iterdir())
        except OSError:
            return
        for one in inner:
            if not one.name.startswith(".") and not (one.is_dir() and one.is_symlink()):
                yield from _found(one, depth - 1)
