"""LiveCodeBench on rows made by hand: its encodings of tests, its prompt, and pickles that want to run something."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.suites import live_code_bench
from lachesis.verifiers.errors import DataError


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def cases(kind: str, *pairs: tuple[str, str]) -> str:
    return json.dumps([{"input": given, "output": expected, "testtype": kind} for given, expected in pairs])


STDIN: dict[str, Any] = {
    "question_id": "abc387_b",
    "question_content": "Double the number.",
    "starter_code": "",
    "contest_date": "2025-01-04T00:00:00",
    "public_test_cases": cases("stdin", ("2\n", "4\n")),
    "private_test_cases": packed(cases("stdin", ("-7\n", "-14\n"))),
    "metadata": "{}",
}
CALL: dict[str, Any] = {
    **STDIN,
    "question_id": "3500",
    "starter_code": "class Solution:\n    def double(self, x: int) -> int:\n        ",
    "contest_date": "2024-06-01T00:00:00",
    "public_test_cases": cases("functional", ("2", "4")),
    "private_test_cases": cases("functional", ("-7", "-14")),
    "metadata": '{"func_name": "double"}',
}


def environment_of(folder: Path, *rows: dict[str, Any], **settings: Any) -> Any:
    for number, row in enumerate(rows, start=1):  # a file for each release, as on the Hub
        (folder / f"test{number if number > 1 else ''}.jsonl").write_text(json.dumps(row) + "\n")
    return describe("livecodebench", config={"path": str(folder), **settings}).build()


def test_programs_and_functions_are_asked_in_the_published_form_and_pass_all_tests(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, STDIN, CALL)
    program, function = environment.tasks("test", 0)
    assert (program.id, function.id) == ("abc387_b", "3500")
    said = program.messages[1]["content"]
    assert said.startswith("### Question:\nDouble the number.\n\n### Format: Read the inputs from stdin")
    assert said.endswith("```python\n# YOUR CODE HERE\n```\n\n### Answer: (use the provided format with backticks)\n\n")
    assert f"```python\n{CALL['starter_code']}\n```" in function.messages[1]["content"]
    assert environment.needs_sandbox
    assert environment.score(program, "```python\nprint(2 * int(input()))\n```").success
    assert not environment.score(program, "```python\nprint(4)\n```").success
    solution = "class Solution:\n    def double(self, x):\n        return "
    assert environment.score(function, f"```python\n{solution}2 * x\n```").success
    assert not environment.score(function, f"```python\n{solution}4\n```").success


def test_problems_are_chosen_by_the_date_of_their_contest(tmp_path: Path) -> None:
    def ids(**settings: Any) -> list[str]:
        return [task.id for task in environment_of(tmp_path, STDIN, CALL, **settings).tasks("test", 0)]

    assert ids(since="2025-01-04") == ["abc387_b"]
    assert ids(until="2024-12-31") == ["3500"]
    assert ids(since="2024-06-01", until="2025-01-04") == ["abc387_b", "3500"]


class Runs:
    """An object whose pickle calls ``print`` when it is read."""

    def __reduce__(self) -> Any:
        return print, ("a pickle ran",)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (packed(Runs()), "the pickle asks for builtins.print, and only text is read"),
        (packed(["no text"]), "the pickle holds list"),
        (packed("no JSON"), "cannot be decoded"),
        ("%%%", "cannot be decoded"),
        (base64.b64encode(b"no zlib").decode(), "cannot be decoded"),
        (base64.b64encode(zlib.compress(b"no pickle")).decode(), "cannot be decoded"),
        (base64.b64encode(zlib.compress(b"")).decode(), "cannot be decoded"),
        ("[1]", "must be a list of tests"),
    ],
)
def test_tests_that_cannot_be_read_are_named_and_nothing_runs(
    tmp_path: Path, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"test\.jsonl, line 1: 'private_test_cases'") as raised:
        list(environment_of(tmp_path, {**STDIN, "private_test_cases": value}).tasks("test", 0))
    assert said in str(raised.value)
    assert capsys.readouterr().out == ""


def test_tests_that_unpack_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_code_bench, "_MOST_TESTS", 1 << 16)
    bomb = packed("[" + " " * (1 << 20) + "]")
    with pytest.raises(DataError, match="it is larger than"):
        list(environment_of(tmp_path, {**STDIN, "private_test_cases": bomb}).tasks("test", 0))
