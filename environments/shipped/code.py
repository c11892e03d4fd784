"""Programming problems: rows of HumanEval or MBPP, or rows with tests by standard input or by calls."""

import json
import re
from typing import Any

from pydantic import Field

from ...verifiers.code.outputs import Compare
from ...verifiers.code.solution import Format
from ...verifiers.code.suite import as_call, as_text, read_pairs, read_texts
from ...verifiers.code.tally import Policy
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Row, column, text_column

INSTRUCTION = "Reply with the whole program in one ```python block."
_ASKS = {
    "stdin": "Write a Python program that reads standard input and writes standard output.",
    "call": "Write the Python function `{}`.",
    "humaneval": "Complete the Python function `{}`.",
    "mbpp": "Write the Python function `{}`.",
}


class Code(DatasetEnvironment):
    """A program to write, which is run against the row's tests in a sandbox.

    An attempt is a success if all tests pass, even if ``policy`` pays for a share of them.
    """

    class Config(DatasetConfig):
        """What the rows contain, and the names of the dataset's columns."""

        format: Format = "humaneval"
        """``humaneval`` or ``mbpp`` (with their own columns), ``stdin`` or ``call`` (with the columns named below)."""
        question: str = "question"
        """``stdin``, ``call``: the column of the problem."""
        tests: str = "tests"
        """``stdin``, ``call``: the column of tests: {inputs, outputs} or a list of {input, output}, as JSON or text."""
        fn_name: str = "fn_name"
        """``call``: the column of the function's name, unless the tests' object gives it."""
        solution: str = ""
        """``stdin``, ``call``: the column of a correct program, for demonstrations; none if empty."""
        shown_tests: int = Field(1, ge=0)
        """``mbpp``: how many tests the prompt shows; replies cannot hard-code the results of hidden tests."""
        policy: Policy = "all"
        """``all``: the score is 1 if all tests pass, otherwise 0; ``fraction``: the score is the share that pass."""
        compare: Compare = "lines"
        """``stdin``: how outputs are compared: by ``lines``, ``tokens`` or ``numbers``."""
        allow_shared: bool = False
        """Allow tests that must run in the same process as the program, which could then tamper with them."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty."""

    rubric = Rubric(use("code", format="humaneval"), use("format", weight=0.0, required=False), success="code")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        asked = {name: getattr(self.config, name) for name in ("format", "policy", "compare", "allow_shared")}
        parts = use("code", **asked), use("format", weight=0.0, required=False)
        self.rubric = Rubric(*parts, success="code").with_methods(self)

    def task_of(self, row: Row) -> Task:
        """The problem as a task; its tests and solution go into the answer and info, which the model does not see."""
        if self.config.format == "humaneval":
            return self._humaneval(row)
        return self._mbpp(row) if self.config.format == "mbpp" else self._pairs(row)

    def demonstration(self, task: Task) -> str:
        """The row's own solution.

        Raises:
            ConfigError: the row has none.
        """
        if not task.info["solution"]:
            raise ConfigError(f'task {task.id} has no solution to demonstrate; name its column: solution = "…"')
        return f"```python\n{task.info['solution'].rstrip()}\n```"

    def _humaneval(self, row: Row) -> Task:
        prompt, body = column(row, "prompt"), column(row, "canonical_solution")
        if not isinstance(prompt, str) or not isinstance(body, str):
            raise DataError("'prompt' and 'canonical_solution' must be texts")
        entry = text_column(row, "entry_point")
        info = {"entry_point": entry, "test": text_column(row, "test"), "prompt": prompt, "solution": prompt + body}
        return self._task(row, entry, f"```python\n{prompt.rstrip()}\n```", answer=body, **info)

    def _mbpp(self, row: Row) -> Task:
        tests = read_texts(column(row, "test_list"), "'test_list'")
        setup = [*read_texts(row.get("test_setup_code"), "'test_setup_code'")]
        setup += read_texts(row.get("test_imports"), "'test_imports'")
        solution = text_column(row, "code")
        names = [name for name in re.findall(r"^def\s+(\w+)", solution, re.MULTILINE)]
        called = [name for name in names if any(re.search(rf"\b{name}\s*\(", test) for test in tests)]
        if not tests or not called:
            raise DataError(f"the asserts of 'test_list' call no function of 'code', which defines {names}")
        question = text_column(row, "text" if row.get("text") else "prompt")
        if shown := tests[: self.config.shown_tests]:
            question = "\n".join([question, "", "It has to pass, among others:", "```python", *shown, "```"])
        info = {"test_setup_code": "\n".join(setup), "solution": solution}
        return self._task(row, called[-1], question, answer=tests, **info)

    def _pairs(self, row: Row) -> Task:
        tests = column(row, self.config.tests)
        if isinstance(tests, str):
            try:
                tests = json.loads(tests)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.config.tests!r} is not JSON ({error})") from None
        shape = as_text if self.config.format == "stdin" else as_call
        for pair in read_pairs(tests):
            shape(pair)
        name = ""
        if self.config.format == "call":
            named = tests if isinstance(tests, dict) and self.config.fn_name in tests else row
            name = text_column(named, self.config.fn_name)
        solutions = read_texts(row.get(self.config.solution), "the solution") if self.config.solution else []
        question = text_column(row, self.config.question)
        info = {"fn_name": name, "solution": solutions[0] if solutions else ""}
        return self._task(row, name, question, answer=tests, **info)

    def _task(self, row: Row, name: str, question: str, answer: Any, **info: Any) -> Task:
        ask = _ASKS[self.config.format].format(name)
        prompt = "\n\n".join(part for part in (ask, question, self.config.instruction) if part)
        return Task(prompt, answer=answer, info=info, id=str(row.get("task_id") or row.get("id") or ""))
