"""Programs to write: each form of rows with its players, what prompts show, and rows that are none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.code import Code
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task

ROWS: dict[str, dict[str, Any]] = {
    "humaneval": {
        "task_id": "own/1",
        "prompt": 'def double(x: int) -> int:\n    """Twice x."""\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-7) == -14\n",
    },
    "mbpp": {
        "task_id": 11,
        "text": "Write a function to double a number.",
        "code": "def double(x):\n    return 2 * x",
        "test_list": ["assert double(2) == 4", "assert double(-7) == -14"],
        "test_setup_code": "",
    },
    "stdin": {
        "question": "Double the number.",
        "tests": {"inputs": ["2\n", "-7\n"], "outputs": ["4\n", "-14\n"]},
        "solution": "print(2 * int(input()))",
    },
    "call": {
        "question": "Double the number.",
        "tests": json.dumps({"fn_name": "double", "inputs": [[2], [-7]], "outputs": [4, -14]}),
        "solution": "def double(x):\n    return 2 * x",
    },
    "interactive": {
        "question": "Read a number and send its double. The answer is read after that.",
        "tests": [{"input": "2\n"}, {"input": "-7\n"}],
        "interactor": "import sys\nn = int(open(sys.argv[1]).read())\n"
        "print(n, flush=True)\nsys.exit(int(input()) != 2 * n)",
        "solution": "print(2 * int(input()), flush=True)",
    },
}
BY_ROTE = dict.fromkeys(("stdin", "interactive"), "print(4)") | dict.fromkeys(
    ("humaneval", "mbpp", "call"), "def double(x):\n    return 4"
)


def environment_of(folder: Path, form: str, *rows: dict[str, Any], **settings: Any) -> Code:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if form in ("stdin", "call", "interactive"):
        settings = {"solution": "solution", **settings}
    return Code(path=path, format=form, held_out=1, **settings)


def only_task(environment: Code) -> Task:
    (task,) = environment.tasks("test", 0)
    return task


@pytest.mark.parametrize("form", ROWS)
def test_the_rows_own_solution_earns_everything_and_what_fits_one_test_nothing(tmp_path: Path, form: str) -> None:
    environment = environment_of(tmp_path, form, ROWS[form])
    task = only_task(environment)
    assert environment.rubric.needs_sandbox
    assert environment.score(task, environment.demonstration(task)).total == 1.0
    for program in (BY_ROTE[form], "raise SystemExit(0)", ""):
        assert environment.score(task, f"```python\n{program}\n```").total == 0.0, program


def test_a_share_of_the_tests_may_earn_a_share(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, "stdin", ROWS["stdin"], policy="fraction")
    assert environment.score(only_task(environment), "```python\nprint(4)\n```").total == 0.5


@pytest.mark.parametrize("form", ROWS)
def test_the_prompt_shows_neither_solution_nor_hidden_tests(tmp_path: Path, form: str) -> None:
    prompt = only_task(environment_of(tmp_path, form, ROWS[form])).prompt
    for secret in ("2 * ", "-14", "-7", "inputs"):
        assert secret not in prompt
    assert ("double(2) == 4" in prompt) == (form == "mbpp")
    assert form in ("stdin", "interactive") or "`double`" in prompt


def test_how_many_tests_of_mbpp_are_shown_is_a_setting(tmp_path: Path) -> None:
    assert "assert" not in only_task(environment_of(tmp_path, "mbpp", ROWS["mbpp"], shown_tests=0)).prompt
    assert "-14" in only_task(environment_of(tmp_path, "mbpp", ROWS["mbpp"], shown_tests=2)).prompt


def test_humaneval_itself_is_read_whole_and_its_solutions_pass(shared_data: Callable[[str], Path]) -> None:
    environment = describe("code", config={"path": str(shared_data("humaneval.jsonl")), "held_out": 1.0}).build()
    tasks = list(environment.tasks("test", 0))
    assert len(tasks) == 110
    for task in tasks[::11]:
        assert environment.score(task, environment.demonstration(task)).total == 1.0, task.id
        assert task.info["test"] not in task.prompt


@pytest.mark.parametrize(
    ("form", "change", "said"),
    [
        ("humaneval", {"test": None}, "no 'test'"),
        ("humaneval", {"canonical_solution": 3}, "must be texts"),
        ("mbpp", {"test_list": ["assert triple(1) == 3"]}, "call no function of 'code'"),
        ("mbpp", {"test_list": "x"}, "call no function"),
        ("stdin", {"tests": "{"}, "'tests' is not JSON"),
        ("stdin", {"tests": []}, "contains no test"),
        ("stdin", {"tests": {"inputs": [[1]], "outputs": [[2]]}}, "input and output must be text"),
        ("call", {"tests": {"inputs": [[1]], "outputs": [2]}}, "no 'fn_name'"),
        ("call", {"question": ""}, "'question' must be a text"),
        ("interactive", {"interactor": None}, "no 'interactor'"),
        ("interactive", {"tests": [{"output": "4"}]}, "list of {input, output}"),
    ],
)
def test_a_row_that_is_no_task_is_named(tmp_path: Path, form: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: ") as raised:
        list(environment_of(tmp_path, form, ROWS[form], ROWS[form] | change).tasks("test", 0))
    assert said in str(raised.value)


def test_rows_of_open_r1_are_judged_by_their_own_checkers(tmp_path: Path) -> None:
    checker = (
        "import sys\nn, right, said = (open(name).read() for name in sys.argv[1:])\n"
        "print(int(sum(map(int, said.split())) == int(n)))"
    )
    row = {
        "description": "Print two numbers whose sum is n.",
        "official_tests": [{"input": "5\n", "output": "1 4\n"}, {"input": "7\n", "output": "3 4\n"}],
        "generated_checker": checker,
    }
    columns = {"question": "description", "tests": "official_tests", "checker": "generated_checker", "solution": ""}
    environment = environment_of(tmp_path, "stdin", row, checker_style="printed", **columns)
    task = only_task(environment)
    for program, total in (("print(int(input()) - 1, 1)", 1.0), ("print(1, 4)", 0.0), ("print(1)", 0.0)):
        assert environment.score(task, f"```python\n{program}\n```").total == total, program
    without = environment_of(tmp_path, "stdin", row | {"generated_checker": None}, checker_style="printed", **columns)
    assert without.score(only_task(without), "```python\nprint(int(input()) - 1, 1)\n```").total == 0.0


@pytest.mark.skipif(shutil.which("bash", path="/usr/bin") is None, reason="bash is not installed")
def test_another_language_is_asked_for_and_run(tmp_path: Path) -> None:
    row = ROWS["stdin"] | {"solution": "read -r n; echo $((2 * n))"}
    environment = environment_of(tmp_path, "stdin", row, language="bash")
    task = only_task(environment)
    assert "Write a Bash program" in task.prompt
    assert "```bash block" in task.prompt
    assert environment.score(task, environment.demonstration(task)).total == 1.0
    assert environment.score(task, f"```python\n{ROWS['stdin']['solution']}\n```").total == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"language": "cobol"}, "no language is named 'cobol'"),
        ({"checker_language": "cpp"}, "set checker_style = 'testlib'"),
        ({"checker_headers": {"testlib.h": "/no/such/testlib.h"}}, "cannot read /no/such/testlib.h"),
    ],
)
def test_impossible_settings_are_refused_when_it_is_built(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        environment_of(tmp_path, "stdin", ROWS["stdin"], **settings)


def test_a_row_without_a_solution_cannot_be_demonstrated(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, "stdin", ROWS["stdin"], solution="")
    with pytest.raises(ConfigError, match="name its column"):
        environment.demonstration(only_task(environment))


STDIN = {"inputs": ["2\n", "-7\n"], "outputs": ["4\n", "-14\n"]}
CALL = {"fn_name": "double", "inputs": [[2], [-7]], "outputs": [[4], [-14]]}
PROGRAMS = {"stdin": "print(2 * int(input()))", "call": "def double(x):\n    return 2 * x"}
TULU_TESTS = ["assert double(2) == 4", "assert double(-7) == -14"]
CHAT = [{"role": "user", "content": "Double the number."}]


def by_convention(kind: str) -> dict[str, dict[str, Any]]:
    tests, solution = json.dumps(STDIN if kind == "stdin" else CALL), PROGRAMS[kind]
    cases = [{"fn_name": None, "input": "2\n", "output": "4\n", "type": "stdin_stdout"}]
    if kind == "call":
        cases = [{"fn_name": "double", "input": [2], "output": 4, "type": "function_call"}]
    return {
        "verl": {
            "data_source": "taco",
            "prompt": CHAT,
            "reward_model": {"style": "rule", "ground_truth": tests},
            "solution": solution,
        },
        "tulu": {
            "messages": CHAT,
            "dataset": "code",
            "ground_truth": json.dumps(TULU_TESTS),
            "solution": PROGRAMS["call"],
        },
        "open-r1": {
            "prompt": CHAT[0]["content"],
            "task_type": "verifiable_code",
            "verification_info": {"language": "python", "test_cases": cases},
            "gold_standard_solution": solution,
        },
        "apps": {
            "question": CHAT[0]["content"],
            "input_output": tests,
            "starter_code": "def double(x):" if kind == "call" else "",
            "solutions": json.dumps([solution]),
        },
    }


@pytest.mark.parametrize("kind", ["stdin", "call"])
def test_rows_of_known_conventions_say_how_they_are_tested(tmp_path: Path, kind: str) -> None:
    rows = by_convention(kind)
    environment = environment_of(tmp_path, "rows", *rows.values())
    assert environment.needs_sandbox
    for task in environment.tasks("test", 0):
        assert environment.score(task, environment.demonstration(task)).success, task
        reward = environment.score(task, f"```python\n{BY_ROTE[kind]}\n```")
        assert reward.success == (len(task.answer) == 1), task  # one test can be passed by rote


def test_rows_of_other_conventions_are_named_with_the_cure(tmp_path: Path) -> None:
    row = by_convention("stdin")["verl"]
    with pytest.raises(DataError, match="a row of verl, not of HumanEval; set format = 'rows'"):
        list(environment_of(tmp_path, "humaneval", row).tasks("test", 0))
    with pytest.raises(DataError, match="scored by math, not by running a program"):
        list(environment_of(tmp_path, "rows", {**row, "data_source": "openai/gsm8k"}).tasks("test", 0))
    with pytest.raises(DataError, match="no convention that is known"):
        list(environment_of(tmp_path, "rows", ROWS["stdin"]).tasks("test", 0))
    with pytest.raises(ConfigError, match="leave out language"):
        Code(path=tmp_path, format="rows", language="cpp")


def test_a_share_of_the_tests_may_earn_a_share_of_such_a_row_too(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, "rows", by_convention("stdin")["verl"], policy="fraction")
    assert environment.score(only_task(environment), "```python\nprint(4)\n```").total == 0.5
