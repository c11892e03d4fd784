"""Programming problems: rows of HumanEval or MBPP, or rows with tests by standard input or by calls."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import Field

from ...verifiers.code.outputs import Compare
from ...verifiers.code.solution import Format
from ...verifiers.code.suite import as_call, as_text, read_pairs, read_texts
from ...verifiers.code.tally import Policy
from ...verifiers.code.whole_programs.checker import Style
from ...verifiers.code.whole_programs.languages import LANGUAGES
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Row, column, text_column

INSTRUCTION = "Reply with the whole program in one ```{fence} block."
_ASKS = {
    "stdin": "Write a {language} program that reads standard input and writes standard output.",
    "interactive": "Write a {language} program that talks to another program over standard input and output, and that "
    "flushes its output after each message.",
    "call": "Write the Python function `{name}`.",
    "humaneval": "Complete the Python function `{name}`.",
    "mbpp": "Write the Python function `{name}`.",
}


class Code(DatasetEnvironment):
    """A program to write, which is run against the row's tests in a sandbox.

    An attempt is a success if all tests pass, even if ``policy`` pays for a share of them.
    """

    class Config(DatasetConfig):
        """What the rows contain, and the names of the dataset's columns."""

        format: Format = "humaneval"
        """``humaneval``, ``mbpp`` (with their own columns), ``stdin``, ``call``, ``interactive`` (with those below)."""
        language: str = "python"
        """``stdin``, ``interactive``: ``python``, ``cpp``, ``javascript``, ``bash``, or your own ``module:name``."""
        question: str = "question"
        """The column of the problem."""
        tests: str = "tests"
        """The column of tests: {inputs, outputs} or a list of {input, output}, as JSON or text."""
        fn_name: str = "fn_name"
        """``call``: the column of the function's name, unless the tests' object gives it."""
        checker: str = ""
        """``stdin``, ``interactive``: the column of a checker, for problems with several right answers; or empty."""
        checker_style: Style = "function"
        """How a checker is called and how it answers: ``function``, ``testlib`` or ``printed``."""
        checker_language: str = "python"
        """The language of checkers and interactors."""
        checker_headers: dict[str, Path] = Field(default_factory=dict)
        """Name → file that checkers and interactors include, such as ``{"testlib.h" = "testlib.h"}``."""
        interactor: str = "interactor"
        """``interactive``: the column of the program that the model's program talks to."""
        solution: str = ""
        """The column of a correct program, for demonstrations; none if empty."""
        shown_tests: int = Field(1, ge=0)
        """``mbpp``: how many tests the prompt shows; replies cannot hard-code the results of hidden tests."""
        policy: Policy = "all"
        """``all``: the score is 1 if all tests pass, otherwise 0; ``fraction``: the score is the share that pass."""
        compare: Compare = "lines"
        """``stdin``: how outputs are compared: by ``lines``, ``tokens`` or ``numbers``."""
        allow_shared: bool = False
        """Allow tests that must run in the same process as the program, which could then tamper with them."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty. ``{fence}`` stands for the language."""

    rubric = Rubric(use("code", format="humaneval"), use("format", weight=0.0, required=False), success="code")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        names = ("format", "language", "policy", "compare", "allow_shared", "checker_style", "checker_language")
        asked = {name: getattr(self.config, name) for name in names}
        headers = {name: _text_of(path) for name, path in self.config.checker_headers.items()}
        self._language = LANGUAGES.load(self.config.language)
        parts = use("code", **asked, checker_headers=headers), use("format", weight=0.0, required=False)
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
        return f"```{self._language.fence}\n{task.info['solution'].rstrip()}\n```"

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
        judges = self._judges(row)
        shape = as_call if self.config.format == "call" else as_text
        for pair in read_pairs(tests, outputs_needed=not judges):
            shape(pair)
        name = ""
        if self.config.format == "call":
            named = tests if isinstance(tests, dict) and self.config.fn_name in tests else row
            name = text_column(named, self.config.fn_name)
        solutions = read_texts(row.get(self.config.solution), "the solution") if self.config.solution else []
        question = text_column(row, self.config.question)
        info = {"fn_name": name, "solution": solutions[0] if solutions else "", **judges}
        return self._task(row, name, question, answer=tests, **info)

    def _judges(self, row: Row) -> dict[str, str]:
        """The sources of the row's checker and interactor."""
        judges = {}
        if self.config.format != "call" and self.config.checker and row.get(self.config.checker):
            judges["checker"] = text_column(row, self.config.checker)
        if self.config.format == "interactive":
            judges["interactor"] = text_column(row, self.config.interactor)
        return judges

    def _task(self, row: Row, name: str, question: str, answer: Any, **info: Any) -> Task:
        ask = _ASKS[self.config.format].format(name=name, language=self._language.title)
        instruction = self.config.instruction.replace("{fence}", self._language.fence)
        prompt = "\n\n".join(part for part in (ask, question, instruction) if part)
        return Task(prompt, answer=answer, info=info, id=str(row.get("task_id") or row.get("id") or ""))


def _text_of(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"checker_headers: cannot read {path}: {error}; correct the path") from None
