"""LiveCodeBench (Jain et al., 2024): programs and functions from contests, by the date of the contest."""

import base64
import binascii
import io
import json
import pickle
import zlib
from typing import Any, ClassVar

from pydantic import Field

from ....verifiers.errors import ConfigError, DataError
from ....verifiers.rows.row import PREFIX
from ....verifiers.rubric import Rubric, use
from ....verifiers.task import Task
from ...dataset import DatasetConfig, DatasetEnvironment, Examples, Source
from ...rows.column import Row, column, find, text_column
from ...rows.source import all_files, hub_folder

SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests."
)
WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)
_MOST_TESTS = 1 << 28
"""Largest tests of one problem, in bytes, since a compressed text may claim any size."""


class LiveCodeBench(DatasetEnvironment):
    """A problem of a contest, with LiveCodeBench's own prompt; a success passes all public and private tests."""

    class Config(DatasetConfig):
        """Where the problems are, and which of them to use."""

        dataset: str = "livecodebench/code_generation_lite"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder of its files."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "test"})
        """The only split; in a folder, it is all files."""
        since: str = ""
        """First date of contests to use, such as 2024-08-01; results are comparable for the same dates only."""
        until: str = ""
        """Last date of contests to use."""

    example_rows: ClassVar[Examples] = {
        "": {
            "question_id": "1",
            "question_content": "Read a number and print twice that number.",
            "contest_date": "2024-08-01",
            "starter_code": "",
            "public_test_cases": '[{"input": "3\\n", "output": "6\\n", "testtype": "stdin"}]',
            "private_test_cases": '[{"input": "4\\n", "output": "8\\n", "testtype": "stdin"}]',
            "metadata": "{}",
        }
    }
    needs_sandbox = True
    rubric = Rubric(use("format", weight=0.0, required=False), success=f"{PREFIX}code")

    def task_of(self, row: Row) -> Task | None:
        """The problem, which brings its own tests; None if its contest was at another time."""
        date = str(row.get("contest_date") or "")[:10]
        if (self.config.since and date < self.config.since) or (self.config.until and date > self.config.until):
            return None
        tests = [*_tests(row, "public_test_cases"), *_tests(row, "private_test_cases")]
        if not tests:
            raise DataError("the problem has no tests")
        params = {"format": "stdin", "compare": "numbers"}
        if any(test.get("testtype") == "functional" for test in tests):
            params = {"format": "call", "fn_name": text_column({"metadata": _metadata(row)}, "metadata.func_name")}
        answer = [{"input": test.get("input"), "output": test.get("output")} for test in tests]
        prompt: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": _question(row)}]
        return Task(prompt, answer, {}, str(row.get("question_id") or ""), ({"verifier": "code", "params": params},))

    def demonstration(self, task: Task) -> str:
        """There is none.

        Raises:
            ConfigError: always, because the rows have no solutions.
        """
        raise ConfigError(f"task {task.id} of LiveCodeBench has no solution to demonstrate")

    def source_of(self, name: str) -> Source:
        """All files, since each release adds one."""
        path = self.config.path or hub_folder(self.config.dataset, ["test*.jsonl"])
        return all_files(path.expanduser())


def _question(row: Row) -> str:
    starter = row.get("starter_code") or ""
    body = starter or "# YOUR CODE HERE"
    form = f"{WITH_STARTER if starter else WITHOUT_STARTER}\n```python\n{body}\n```"
    content = text_column(row, "question_content")
    return f"### Question:\n{content}\n\n### Format: {form}\n\n### Answer: (use the provided format with backticks)\n\n"


def _metadata(row: Row) -> Any:
    return find(row, "metadata") or {}


def _tests(row: Row, name: str) -> list[dict[str, Any]]:
    """The tests under ``name``: objects, their JSON, or base64 of a compressed pickle of their JSON."""
    value = column(row, name)
    try:
        if isinstance(value, str) and not value.lstrip().startswith("["):
            value = _unpacked(value)
        tests = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError, EOFError, zlib.error, binascii.Error, pickle.UnpicklingError) as error:
        raise DataError(f"{name!r} cannot be decoded ({error}); copy the file again") from None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise DataError(f"{name!r} must be a list of tests, found {tests!r:.80}")
    return tests


def _unpacked(text: str) -> str:
    inflate = zlib.decompressobj()
    content = inflate.decompress(base64.b64decode(text, validate=True), _MOST_TESTS)
    if inflate.unconsumed_tail:
        raise ValueError(f"it is larger than {_MOST_TESTS >> 20} MiB")
    found = _TextOnly(io.BytesIO(content)).load()
    if not isinstance(found, str):
        raise ValueError(f"the pickle holds {type(found).__name__}, not a text")
    return found


class _TextOnly(pickle.Unpickler):
    """A reader of pickles that imports nothing, since a pickle could run any program."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, and only text is read")
