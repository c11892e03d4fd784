"""GSM8K: grade-school word problems (Cobbe et al., 2021), from a local file or from the Hugging Face Hub."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from ..verifiers.errors import ConfigError, DataError
from ..verifiers.jsonl import read_numbered_jsonl
from ..verifiers.rubric import Rubric, use
from ..verifiers.task import Task
from .environment import Environment, EnvironmentConfig, Split

INSTRUCTION = r"Reason step by step, and put the final number within \boxed{}."


class Gsm8k(Environment):
    """A question in words; the reply ends with one number."""

    class Config(EnvironmentConfig):
        """Where the problems come from: ``path`` or ``dataset``, and how they are put."""

        path: Path | None = None
        """A JSONL file of {question, answer} rows, or a folder with train.jsonl and test.jsonl (or gsm8k_*.jsonl)."""
        dataset: str = "openai/gsm8k"
        """Where there is no path: a dataset id on the Hugging Face Hub, or a folder that `datasets` can load."""
        name: str | None = "main"
        """The dataset's configuration on the Hub."""
        instruction: str = INSTRUCTION
        """Put after each question; empty for none."""

        @model_validator(mode="after")
        def _one_source(self) -> Self:
            if self.path is not None and "dataset" in self.model_fields_set:
                raise ValueError(f"give either path ({self.path}) or dataset ({self.dataset}), not both")
            return self

    rubric = Rubric(use("math"), use("format", weight=0.0, required=False))

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The training split shuffled by ``seed``, the test split as it stands; both finite.

        Raises:
            ConfigError: a file or package is missing.
            DataError: there are no rows, or a row (named by its number) is no problem.
        """
        tasks = [self._task(row, where) for where, row in self._rows(split)]
        if not tasks:
            raise DataError(f"{self.config.path or self.config.dataset} has no problems in split {split!r}")
        if split == "train":
            random.Random(seed).shuffle(tasks)
        yield from tasks

    def demonstration(self, task: Task) -> str:
        """The reference solution, then the answer in its box."""
        return f"{task.info['solution']}\n\\boxed{{{task.answer}}}"

    def _task(self, row: dict[str, Any], where: str) -> Task:
        question, answer = row.get("question"), row.get("answer")
        if not isinstance(question, str) or not isinstance(answer, str) or not question.strip():
            raise DataError(f"{where}: expected the texts question and answer, found {sorted(row)}")
        solution, mark, final = answer.rpartition("####")
        if not mark or not final.strip():
            raise DataError(f"{where}: the answer does not end with '#### N': {answer[-80:]!r}")
        prompt = f"{question.strip()}\n\n{self.config.instruction}".strip()
        return Task(prompt, answer=final.strip(), info={"solution": solution.strip()})

    def _rows(self, split: Split) -> Iterator[tuple[str, dict[str, Any]]]:
        """(place, row) pairs, where the place is for error messages."""
        if self.config.path is None:
            for number, row in enumerate(_hub_rows(self.config.dataset, self.config.name, split), start=1):
                yield f"{self.config.dataset} ({split}), row {number}", row
            return
        path = _file_of(self.config.path, split)
        for number, row in read_numbered_jsonl(path):
            yield f"{path}, line {number}", row


def _file_of(path: Path, split: Split) -> Path:
    """The file of ``split``: ``path`` itself, or the file of that name in the folder."""
    path = path.expanduser()
    if not path.is_dir():
        return path
    names = (f"{split}.jsonl", f"gsm8k_{split}.jsonl")
    for name in names:
        if (path / name).exists():
            return path / name
    raise ConfigError(f"{path} holds neither {names[0]} nor {names[1]}; put one there or name a file")


def _hub_rows(dataset: str, name: str | None, split: Split) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise ConfigError(
            f"dataset {dataset!r} needs the package `datasets`: pip install datasets, or set path to a file"
        ) from None
    try:
        return load_dataset(dataset, name, split=split)
    except Exception as error:  # noqa: BLE001 - `datasets` raises many kinds, all meaning: not there, or not readable
        raise ConfigError(
            f"cannot load dataset {dataset!r} ({name}, {split}): {type(error).__name__}: {str(error)[:200]}; "
            "check its id and the network, or set path to a file"
        ) from None
