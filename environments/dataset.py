"""Tasks from the rows of a dataset: a file, a folder or an id on the Hugging Face Hub."""

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from ..verifiers.errors import ConfigError, DataError
from ..verifiers.task import Task
from .environment import Environment, EnvironmentConfig, Split
from .rows.column import Row, matches
from .rows.source import file_rows, hub_rows, split_files

Source = tuple[Path, ...] | str
"""The files of a split, or its name on the Hub."""

Examples = Mapping[str, Row]
"""A row by the setting that it needs, as in a TOML, or by its file (``in FILE``); an empty key for the defaults."""


class DatasetConfig(EnvironmentConfig):
    """Where the rows come from: ``path`` or ``dataset``."""

    path: Path | None = None
    """A file (Parquet, Arrow, JSONL, JSON or CSV), or a folder with files for each split."""
    dataset: str = ""
    """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
    name: str | None = None
    """The dataset's configuration on the Hub; in a folder, only files with this word, if there are any."""
    splits: dict[str, str] = Field(default_factory=lambda: {"train": "train", "test": "test"})
    """The names of the two splits in the dataset, or of their files in the folder. A benchmark may have only test."""
    held_out: float = Field(0.1, ge=0, le=1)
    """Share of the tasks in the test split if both splits have the same source. With 0, each split is all of it."""
    split_seed: int = Field(0, ge=0, lt=2**63)
    """Decides which tasks of a shared source are held out."""
    where: dict[str, Any] = Field(default_factory=dict)
    """Column → value, or list of values: only these rows are used. Columns may be dotted: ``extra_info.level``."""
    limit: int | None = Field(None, ge=1)
    """Most tasks of each split, the first ones of the source."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.path is not None and "dataset" in self.model_fields_set:
            raise ValueError(f"give either path ({self.path}) or dataset ({self.dataset}), not both")
        if self.path is None and not self.dataset:
            raise ValueError("give path (a file of rows, or a folder of them) or dataset (an id on the Hub)")
        if not self.splits or self.splits.keys() - {"train", "test"}:
            raise ValueError(f"splits must name train and test, or one of them, found {sorted(self.splits)}")
        return self


class DatasetEnvironment(Environment):
    """An environment with a task for each row: write ``task_of``, and raise ``DataError`` for a bad row."""

    Config = DatasetConfig
    example_rows: ClassVar[Examples] = {}
    """Rows that it reads, which ``lachesis envs NAME`` shows."""

    def task_of(self, row: Row) -> Task | None:
        """The row as a task; None to leave it out.

        Raises:
            DataError: the row cannot be a task. Say why; the file and the row's number are added to the message.
        """
        raise NotImplementedError(f"{type(self).__name__} has no task_of(row)")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the source has; both if there is no source, so that using them says what is wrong."""
        both: tuple[Split, ...] = ("train", "test")
        return tuple(filter(self._has, both)) or both

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The training split, shuffled by ``seed``, or the test split in the source's order; both are finite.

        If both splits have one source, a task's prompt decides its split, so no prompt is in both.

        Raises:
            ConfigError: a file or package is missing.
            DataError: the split has no tasks, or a row, named by its number, cannot be a task.
        """
        tasks = list(itertools.islice(self._tasks(split), self.config.limit))
        if not tasks:
            source = self.config.path or self.config.dataset
            raise DataError(f"{source} has no problems in split {split!r}{self._cure(split)}")
        if split == "train":
            random.Random(seed).shuffle(tasks)
        yield from tasks

    def source_of(self, name: str) -> Source:
        """The source of the split that is called ``name`` there.

        Raises:
            ConfigError: there is none.
        """
        if self.config.path is None:
            return name
        return split_files(self.config.path.expanduser(), name, self.config.splits, self.config.name)

    def rows(self, source: Source) -> Iterator[tuple[str, Row]]:
        """(place, row) pairs of a split's source; the place is for error messages."""
        if isinstance(source, str):
            return hub_rows(self.config.dataset, self.config.name, source)
        return file_rows(source)

    def _tasks(self, split: Split) -> Iterator[Task]:
        shared = self._is_shared()
        for place, row in self.rows(self._source(split)):
            if self.config.where and not matches(row, self.config.where):
                continue
            try:
                task = self.task_of(row)
            except DataError as error:
                raise DataError(f"{place}: {error}") from None
            if task is not None and (not shared or self._is_held_out(task) == (split == "test")):
                yield task

    def _has(self, split: Split) -> bool:
        if split == "train" and self.config.held_out == 1 and self._is_shared():
            return False
        try:
            self._source(split)
        except ConfigError:
            return False
        return True

    def _is_shared(self) -> bool:
        """Whether one source is divided into the two splits."""
        if self.config.held_out == 0 or len(self.config.splits) < 2:
            return False
        try:
            return self._source("train") == self._source("test")
        except ConfigError:  # a folder with files of one split only; a use of the other one raises
            return False

    def _cure(self, split: Split) -> str:
        cures = []
        if self._is_shared():
            cures.append(f"held_out = {self.config.held_out:g} divides it into the two splits")
        if self.config.where:
            cures.append(f"where = {self.config.where} leaves rows out")
        return "; " + ", and ".join(cures) if cures else ""

    def _is_held_out(self, task: Task) -> bool:
        salt = self.config.split_seed.to_bytes(16, "big")  # the salt of seed 0 is blake2b's own default
        prompt = json.dumps(task.prompt, sort_keys=True).encode()
        digest = hashlib.blake2b(prompt, digest_size=8, salt=salt).digest()
        return bool(int.from_bytes(digest, "big") < self.config.held_out * 2**64)

    def _source(self, split: Split) -> Source:
        """The split's files, or its name on the Hub.

        Raises:
            ConfigError: there is none.
        """
        names: dict[str, str] = self.config.splits
        if split not in names:
            raise ConfigError(f"{self.label} has no split {split!r}, since splits = {names} names none; add it there")
        return self.source_of(names[split])
