"""Programming problems: rows of HumanEval, MBPP, verl, Tülu, SYNTHETIC or APPS, or rows with tests of any program."""

import json
import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ...verifiers.adapters import convention_of, from_row
from ...verifiers.code.outputs import Compare
from ...verifiers.code.solution import Format
from ...verifiers.code.suite import as_call, as_text, read_pairs, read_texts
from ...verifiers.code.tally import Policy
from ...verifiers.code.whole_programs.checker import Style
from ...verifiers.code.whole_programs.languages import LANGUAGES
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rows.row import PREFIX
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Examples
from ..rows.column import Row, column, find, first_of, text_column

INSTRUCTION = "Reply with the whole program in one ```{fence} block."
QUESTIONS = ("question", "problem", "prompt", "description")
TESTS = ("tests", "input_output", "test_cases", "official_tests")
SOLUTIONS = ("gold_standard_solution", "solutions.0", "solution")
_ASKS = {
    "stdin": "Write a {language} program that reads standard input and writes standard output.",
    "interactive": "Write a {language} program that talks to another program over standard input and output, and that "
    "flushes its output after each message.",
    "call": "Write the Python function `{name}`.",
    "humaneval": "Complete the Python function `{name}`.",
    "mbpp": "Write the Python function `{name}`.",
}

EXAMPLE_ROWS: dict[str, Row] = {
    'format = "humaneval"': {
        "task_id": "own/0",
        "prompt": 'def double(x: int) -> int:\n    """Return twice x."""\n',
        "entry_point": "double",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
        "canonical_solution": "    return 2 * x\n",
    },
    'format = "mbpp"': {
        "task_id": 1,
        "text": "Write a function that doubles a number.",
        "test_list": ["assert double(3) == 6", "assert double(0) == 0"],
        "code": "def double(x):\n    return 2 * x\n",
    },
    'format = "stdin", solution = "solution"': {
        "problem": "Read a number and print twice that number.",
        "tests": {"inputs": ["3\n"], "outputs": ["6\n"]},
        "solution": "print(2 * int(input()))",
    },
    'format = "call", solution = "solution"': {
        "problem": "Write a function that doubles a number.",
        "fn_name": "double",
        "tests": [{"input": [3], "output": 6}],
        "solution": "def double(x):\n    return 2 * x\n",
    },
    'format = "rows"': {
        "data_source": "taco",
        "prompt": [{"role": "user", "content": "Read a number and print twice that number."}],
        "reward_model": {"style": "rule", "ground_truth": '{"inputs": ["3\\n"], "outputs": ["6\\n"]}'},
    },
}


class Code(DatasetEnvironment):
    """A program to write, which is run against the row's tests in a sandbox.

    An attempt is a success if all tests pass, even if ``policy`` pays for a share of them.
    """

    class Config(DatasetConfig):
        """What the rows contain, and the names of the dataset's columns."""

        format: Format | Literal["rows"] = "humaneval"
        """``humaneval``, ``mbpp`` (with their own columns), ``stdin``, ``call``, ``interactive`` (with those below), or
        ``rows``: each row says it by the conventions of verl, Tülu, SYNTHETIC, open-r1, APPS or TACO."""
        language: str = "python"
        """``stdin``, ``interactive``: ``python``, ``cpp``, ``javascript``, ``bash``, or your own ``module:name``."""
        question: str = ""
        """The column of the problem; if empty, the first of question, problem, prompt, description."""
        tests: str = ""
        """The column of tests: {inputs, outputs} or a list of {input, output}, as JSON or text; if empty, the first of
        tests, input_output, test_cases, official_tests."""
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
        """The column of a correct program, or of a list of them, for demonstrations; none if empty."""
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

        @model_validator(mode="after")
        def _rows_are_python(self) -> Self:
            if self.format == "rows" and (self.language != "python" or self.allow_shared or self.checker):
                raise ValueError(
                    "with format = 'rows', rows give the tests, so leave out language, allow_shared and checker"
                )
            return self

    example_rows: ClassVar[Examples] = EXAMPLE_ROWS
    needs_sandbox = True  # also if only the tasks' own verifiers run programs
    rubric = Rubric(use("code", format="humaneval"), use("format", weight=0.0, required=False), success="code")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._language = LANGUAGES.load(self.config.language)
        self.rubric = self._by_rows() if self.config.format == "rows" else self._for_all_rows()

    def _by_rows(self) -> Rubric:
        return Rubric(use("format", weight=0.0, required=False), success=f"{PREFIX}code").with_methods(self)

    def _for_all_rows(self) -> Rubric:
        names = ("format", "language", "policy", "compare", "allow_shared", "checker_style", "checker_language")
        asked = {name: getattr(self.config, name) for name in names}
        headers = {name: _text_of(path) for name, path in self.config.checker_headers.items()}
        parts = use("code", **asked, checker_headers=headers), use("format", weight=0.0, required=False)
        return Rubric(*parts, success="code").with_methods(self)

    def task_of(self, row: Row) -> Task:
        """The problem as a task; its tests and solution go into the answer and info, which the model does not see."""
        own = {"humaneval": self._humaneval, "mbpp": self._mbpp, "rows": self._by_convention}
        return own.get(self.config.format, self._pairs)(row)

    def demonstration(self, task: Task) -> str:
        """The row's own solution.

        Raises:
            ConfigError: the row has none.
        """
        if not task.info["solution"]:
            raise ConfigError(f'task {task.id} has no solution to demonstrate; name its column: solution = "…"')
        return f"```{self._language.fence}\n{task.info['solution'].rstrip()}\n```"

    def _by_convention(self, row: Row) -> Task:
        """The task that the row describes, with the row's own prompt and tests."""
        convention = convention_of(row)
        if not convention:
            raise DataError(
                f"the row has no convention that is known ({', '.join(sorted(row))}); set format to its kind"
            )
        task = from_row(row)
        kinds = [entry["verifier"] for entry in task.verify]
        if kinds != ["code"]:
            raise DataError(
                f"this row of {convention} is scored by {', '.join(kinds)}, not by running a program; leave such rows "
                "out with `where`"
            )
        params = {"policy": self.config.policy, "compare": self.config.compare, **task.verify[0]["params"]}
        info = {"solution": self._solution(row)}
        return Task(task.prompt, task.answer, info, task.id, ({"verifier": "code", "params": params},))

    def _solution(self, row: Row) -> str:
        """A correct program of the row, or an empty text."""
        name = self.config.solution
        if not name:
            if self.config.format != "rows":
                return ""
            name = first_of(row, SOLUTIONS)
        solutions = read_texts(find(row, name) or None, "the solution")
        return solutions[0] if solutions else ""

    def _humaneval(self, row: Row) -> Task:
        if "entry_point" not in row and (convention := convention_of(row)):
            raise DataError(f"this is a row of {convention}, not of HumanEval; set format = 'rows'")
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
        place = self.config.tests or first_of(row, TESTS)
        tests = column(row, place)
        if isinstance(tests, str):
            try:
                tests = json.loads(tests)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place!r} is not JSON ({error})") from None
        judges = self._judges(row)
        shape = as_call if self.config.format == "call" else as_text
        for pair in read_pairs(tests, outputs_needed=not judges):
            shape(pair)
        name = ""
        if self.config.format == "call":
            named = tests if isinstance(tests, dict) and self.config.fn_name in tests else row
            name = text_column(named, self.config.fn_name)
        question = text_column(row, self.config.question or first_of(row, QUESTIONS))
        info = {"fn_name": name, "solution": self._solution(row), **judges}
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
