"""Rows as datasets write them, and programs as graders take them: long integers, wrapped results, a prelude."""

from collections.abc import Callable
from typing import Any

import pytest

from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]


def fenced(text: str) -> str:
    return f"```python\n{text}\n```"


LONG = "1" + "0" * 5000


@pytest.mark.parametrize(
    ("program", "given", "output", "status"),
    [
        ("print(10**5000)", "", LONG, "ok"),
        ("print(10**5000 + 1)", "", LONG, "wrong"),
        ("print(f'{10**5000}')", "", LONG, "ok"),
        ("print('%d' % 10**5000)", "", LONG, "ok"),
        ("print(int(input()) + 1)", LONG, LONG[:-1] + "1", "ok"),
        ("print(len(str(int(input()))))", LONG, "5001", "ok"),
        ("print(sum(map(int, str(10**5000))))", "", "1", "ok"),
        (f"print({LONG} == 10**5000)", "", "True", "ok"),
        ("import math\nprint(str(math.factorial(2000))[:4])", "", "3316", "ok"),
        ("print(repr([10**5000]))", "", f"[{LONG}]", "ok"),
        ("import json\nprint(json.loads(input()) // 10**4999)", LONG, "10", "ok"),
        ("print(json.dumps(10**5000))", "", LONG, "ok"),
    ],
)
def test_integers_of_any_length_are_read_and_printed(
    judge: Judge, program: str, given: str, output: str, status: str
) -> None:
    assert judge(fenced(program), [{"input": given, "output": output}]).status == status


@pytest.mark.parametrize(
    ("body", "given", "expected", "status"),
    [
        ("return str(10**n)", [[5000]], [LONG], "ok"),
        ("return 10**n", ["5000"], [LONG], "ok"),
        ("return 10**n + 1", ["5000"], [LONG], "wrong"),
        ("return {10**n: 1}", [[5000]], [{"1": 1}], "wrong"),
        ("return {10**n: 1}", [[5000]], [{LONG: 1}], "wrong"),
        ("return {10**n: 1}", [[500]], [{"1" + "0" * 500: 1}], "ok"),
        ("return n + 1", [LONG], [LONG[:-1] + "1"], "ok"),
        ("return n", ["-" + LONG], ["-" + LONG], "ok"),
        ("return [n]", [LONG], [f"[{LONG}]"], "ok"),
    ],
)
def test_integers_of_any_length_are_passed_and_returned(
    judge: Judge, body: str, given: list[Any], expected: list[Any], status: str
) -> None:
    answer = {"inputs": given, "outputs": expected}
    assert judge(fenced(f"def f(n):\n    {body}"), answer, format="call", fn_name="f").status == status


@pytest.mark.parametrize(
    ("body", "given", "expected", "status"),
    [
        ("return x.upper()", [["a"]], [["A"]], "ok"),
        ("return [x.upper()]", [["a"]], [["A"]], "ok"),
        ("return [x, x]", [[1]], [[[1, 1]]], "ok"),
        ("return (x, x)", [[1]], [[[1, 1]]], "ok"),
        ("return {x: (x,)}", [[1]], [[{"1": [1]}]], "ok"),
        ("return [[x]]", [[1]], [[[1]]], "ok"),
        ("return None", [[1]], [[None]], "ok"),
        ("return x > 0", [[1], [-1]], [[True], [False]], "ok"),
        ("return x > 0", [[1], [-1]], [[True], [True]], "wrong"),
        ("return x", [[1]], [[2]], "wrong"),
        ("return [x, 1]", [[1]], [[1]], "wrong"),
        ("return x", [[1], [2]], [[1], [2, 3]], "wrong"),  # not every result is wrapped
        ("return x", [[1], [2]], [[1], 2], "wrong"),
        ("return x", ["1"], ["[1]"], "wrong"),  # LiveCodeBench wraps nothing
        ("return [[x]]", [[1]], [[1]], "wrong"),
    ],
)
def test_results_may_be_wrapped_in_lists_if_all_are(
    judge: Judge, body: str, given: list[Any], expected: list[Any], status: str
) -> None:
    answer = {"fn_name": "f", "inputs": given, "outputs": expected}
    assert judge(fenced(f"def f(x):\n    {body}"), answer, format="call").status == status


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("def f(x: List[int]) -> Optional[int]:\n    return x[0]\nprint(f([15]))", "ok"),
        ("print(Counter([15, 15, 1]).most_common(1)[0][0])", "ok"),
        ("from __future__ import annotations\nprint(math.floor(15.5))", "ok"),
        ("def f(n):\n    return n and 1 + f(n - 1)\nprint(f(9000) - 8985)", "ok"),
        ("def f(n):\n    return f(n + 1)\nprint(f(1))", "wrong"),
        ("print(lists(15))", "wrong"),
        ("print(15", "unparseable"),
    ],
)
def test_programs_have_the_prelude_that_calls_have(judge: Judge, program: str, status: str) -> None:
    assert judge(fenced(program), [{"input": "", "output": "15"}]).status == status


def test_the_name_of_the_function_may_stand_in_json_text_with_the_tests(judge: Judge) -> None:
    answer = '{"fn_name": "f", "inputs": [["ab"]], "outputs": [["abab"]]}'
    assert judge(fenced("def f(s):\n    return s * 2"), answer, format="call").status == "ok"
    assert judge(fenced("def f(s):\n    return s * 3"), answer, format="call").status == "wrong"
