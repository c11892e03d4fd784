"""Tasks from the rows of a dataset: a file, a folder or an id on the Hugging Face Hub."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from ..verifiers.errors import ConfigError, DataError, nearest
from ..verifiers.rows.jsonl import read_numbered_jsonl
from ..verifiers.task import Task
from .environment import Environment, EnvironmentConfig, Split

Row = dict[str, Any]


class DatasetConfig(EnvironmentConfig):
    """Where the rows come from: ``path`` or ``dataset``."""

    path: Path | None = None
    """A JSONL file, or a folder with train.jsonl and test.jsonl."""
    dataset: str = ""
    """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
    name: str | None = None
    """The dataset's configuration on the Hub."""
    splits: dict[str, str] = Field(default_factory=lambda: {"train": "train", "test": "test"})
    """The names of the two splits in the dataset, or of their files in the folder."""
    held_out: float = Field(0.1, ge=0, le=1)
    """Share of the tasks in the test split if both splits have the same source. With 0, each split is all of it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.path is not None and "dataset" in self.model_fields_set:
            raise ValueError(f"give either path ({self.path}) or dataset ({self.dataset}), not both")
        if self.path is None and not self.dataset:
            raise ValueError("give path (a JSONL file, or a folder of them) or dataset (an id on the Hub)")
        if self.splits.keys() != {"train", "test"}:
            raise ValueError(f"splits must name train and test, found {sorted(self.splits)}")
        return self


class DatasetEnvironment(Environment):
    """An environment with a task for each row: write ``task_of``, and raise ``DataError`` for a bad row."""

    Config = DatasetConfig
    file_names: ClassVar[tuple[str, ...]] = ("{}.jsonl",)
    """Names that a split's file may have in a folder."""

    def task_of(self, row: Row) -> Task | None:
        """The row as a task; None to leave it out.

        Raises:
            DataError: the row cannot be a task. Say why; the file and the row's number are added to the message.
        """
        raise NotImplementedError(f"{type(self).__name__} has no task_of(row)")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The training split, shuffled by ``seed``, or the test split in the source's order; both are finite.

        If both splits have one source, a task's prompt decides its split, so no prompt is in both.

        Raises:
            ConfigError: a file or package is missing.
            DataError: the split has no tasks, or a row, named by its number, cannot be a task.
        """
        tasks = list(self._tasks(split))
        if not tasks:
            source = self.config.path or self.config.dataset
            raise DataError(f"{source} has no problems in split {split!r}{self._cure(split)}")
        if split == "train":
            random.Random(seed).shuffle(tasks)
        yield from tasks

    def _tasks(self, split: Split) -> Iterator[Task]:
        shared = self.config.held_out > 0 and self._source("train") == self._source("test")
        for place, row in self._rows(split):
            try:
                task = self.task_of(row)
            except DataError as error:
                raise DataError(f"{place}: {error}") from None
            if task is not None and (not shared or self._is_held_out(task) == (split == "test")):
                yield task

    def _cure(self, split: Split) -> str:
        alone = self._source("train") == self._source("test") and self.config.held_out > 0
        return f"; held_out = {self.config.held_out:g} divides it into the two splits" if alone else ""

    def _is_held_out(self, task: Task) -> bool:
        digest = hashlib.blake2b(json.dumps(task.prompt, sort_keys=True).encode(), digest_size=8).digest()
        return bool(int.from_bytes(digest, "big") < self.config.held_out * 2**64)

    def _source(self, split: Split) -> Path | str:
        """The split's file, or its name in the dataset."""
        name = self.config.splits[split]
        if self.config.path is None:
            return str(name)
        path: Path = self.config.path.expanduser()
        if not path.is_dir():
            return path
        names = [pattern.format(name) for pattern in self.file_names]
        return next((path / name for name in names if (path / name).exists()), path / names[0])

    def _rows(self, split: Split) -> Iterator[tuple[str, Row]]:
        """(place, row) pairs; the place is for error messages."""
        source = self._source(split)
        if isinstance(source, str):
            rows = hub_rows(self.config.dataset, self.config.name, source)
            yield from ((f"{self.config.dataset} ({source}), row {n}", row) for n, row in enumerate(rows, start=1))
            return
        if not source.exists():
            if source != self.config.path.expanduser():
                names = " nor ".join(pattern.format(self.config.splits[split]) for pattern in self.file_names)
                raise ConfigError(f"{self.config.path} holds no {names}; put one there or name a file")
            names = " and ".join(map(self.file_names[0].format, self.config.splits.values()))
            raise ConfigError(
                f"no file or folder {self.config.path} exists; give a JSONL file or a folder with {names}"
            )
        yield from ((f"{source}, line {number}", row) for number, row in read_numbered_jsonl(source))


def column(row: Row, name: str) -> Any:
    """The value of ``row`` under ``name``.

    Raises:
        DataError: there is none; the message names a similar column.
    """
    if row.get(name) is None:
        raise DataError(f"no {name!r}; {nearest(name, row)}")
    return row[name]


def text_column(row: Row, name: str) -> str:
    """The text under ``name``, without white space around it.

    Raises:
        DataError: there is no text, or it is blank.
    """
    value = column(row, name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{name!r} must be a text that is not blank, found {value!r:.80}")
    return value.strip()


def hub_rows(dataset: str, name: str | None, split: str) -> Any:
    """The rows of a split, loaded by the package ``datasets``.

    Raises:
        ConfigError: the package is not installed, or cannot load the split.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise ConfigError(
            f"dataset {dataset!r} needs the package `datasets`: pip install datasets, or set path to a file or folder"
        ) from None
    try:
        return load_dataset(dataset, name, split=split)
    except Exception as error:  # noqa: BLE001 - `datasets` raises many kinds if a dataset is missing or unreadable
        raise ConfigError(
            f"cannot load dataset {dataset!r} ({name}, {split}): {type(error).__name__}: {str(error)[:200]}; "
            "check its id and the network, or set path to a file"
        ) from None
