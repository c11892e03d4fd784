"""Special checkers: they accept every right answer, only they decide, and no output can make them fail for free."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]
JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]

SUM = [{"input": "5\n", "output": "1 4\n"}, {"input": "7\n", "output": "3 4\n"}]
"""Two numbers whose sum is the input: there are several right answers."""
FUNCTION = """
def check(input, output, expected):
    a, b = map(int, output.split())
    return a + b == int(input), f"the sum is {a + b}"
"""
TESTLIB = """
import sys
given, output, answer = (open(name).read() for name in sys.argv[1:4])
assert len(answer.split()) == 2
a, b = map(int, output.split())
if a + b != int(given):
    sys.exit(f"wrong answer: the sum is {a + b}")
"""
PRINTED = """
import sys
given, answer, output = (open(name).read() for name in sys.argv[1:4])
assert len(answer.split()) == 2
a, b = map(int, output.split())
print(int(a + b == int(given)))
"""
CPP = """
#include "numbers.h"
int main(int argc, char **argv) {
    std::ifstream given(argv[1]), output(argv[2]), answer(argv[3]);
    return read(output) + read(output) == read(given) ? 0 : 1;
}
"""
HEADERS = {
    "numbers.h": "#include <fstream>\ninline long read(std::ifstream &f) { long n; if (!(f >> n)) throw 1; return n; }"
}
STYLES = {
    "function": {"checker": FUNCTION},
    "testlib": {"checker": TESTLIB, "checker_style": "testlib"},
    "printed": {"checker": PRINTED, "checker_style": "printed"},
    "C++": {"checker": CPP, "checker_style": "testlib", "checker_language": "cpp", "checker_headers": HEADERS},
}
needs_gcc = pytest.mark.skipif(shutil.which("g++", path="/usr/bin") is None, reason="g++ is not installed")
ALL = [pytest.param(style, marks=needs_gcc if style == "C++" else ()) for style in STYLES]


def program(text: str) -> str:
    return f"```python\n{text}\n```"


OTHER = program("n = int(input())\nprint(n - 2)\nprint(2)")
WRONG = program("n = int(input())\nprint(n, n)")
GARBAGE = program("print('x')")


@pytest.mark.parametrize("style", ALL)
def test_a_checker_accepts_other_right_answers_and_refuses_wrong_ones(judge_all: JudgeAll, style: str) -> None:
    rows = [{"completion": text, "answer": SUM, **STYLES[style]} for text in (OTHER, WRONG, GARBAGE)]
    right, wrong, garbage = judge_all(rows)
    assert (right.status, right.score) == ("ok", 1.0), right
    assert wrong.status == "wrong", wrong
    assert "the checker refuses it" in wrong.reason, wrong
    assert garbage.status == "wrong", garbage
    assert "the checker failed" in garbage.reason, garbage


@pytest.mark.parametrize(
    ("style", "checker"),
    [
        ("function", "def check(input, output, expected): return undefined"),
        ("function", "import no_such_module\ndef check(*texts): return True"),
        ("function", "def judge(input, output, expected): return True"),
        ("function", "def check(*texts): return None"),
        ("function", "import sys\ndef check(*texts): sys.exit(0)"),
        ("function", "def check(*texts): 1 +"),
        ("testlib", "import no_such_module"),
        ("testlib", "import sys; sys.exit(3)"),
        ("testlib", "import os; os.abort()"),
        ("printed", "print('yes')"),
        ("printed", "pass"),
    ],
)
def test_a_broken_checker_is_never_a_reward_of_0(judge: Judge, style: str, checker: str) -> None:
    verdict = judge(OTHER, SUM, checker=checker, checker_style=style)
    assert verdict.status == "infra_error", verdict
    assert "repair" in verdict.reason, verdict


HOSTILE = [
    ("print('1')", "wrong"),
    ("print('ok accepted 0')", "wrong"),
    ("print('__import__(\"os\")._exit(40)')", "wrong"),
    ("import sys; sys.stdout.buffer.write(bytes(range(256)))", "wrong"),
    ("print('9' * 20_000, 1)", "wrong"),
    ("import os; os._exit(40)", "wrong"),
    ("import os; os._exit(0)", "wrong"),
    ("print('5 0' * 10**7)", "limit"),
]


@pytest.mark.parametrize("style", ["function", "testlib", "printed"])
def test_no_output_of_the_program_decides_or_is_an_infrastructure_failure(judge_all: JudgeAll, style: str) -> None:
    rows = [{"completion": program(text), "answer": SUM, **STYLES[style]} for text, _ in HOSTILE]
    for (text, status), verdict in zip(HOSTILE, judge_all(rows), strict=True):
        assert (verdict.score, verdict.status) == (0.0, status), (text, verdict)


def test_an_output_that_stalls_or_fills_the_checker_is_a_timeout_or_a_limit(judge_all: JudgeAll) -> None:
    checker = """
def check(input, output, expected):
    if "stall" in output:
        while True: pass
    if "fill" in output:
        return len(bytearray(1 << 30)) > 0
    return True
"""
    texts = program("print('stall')"), program("print('fill')")
    row: dict[str, Any] = {"answer": SUM, "checker": checker, "timeout": 1.0, "memory": 64 << 20}
    verdicts = judge_all([{"completion": text, **row} for text in texts])
    assert [(verdict.score, verdict.status) for verdict in verdicts] == [(0.0, "timeout"), (0.0, "limit")], verdicts


def test_an_output_that_stalls_the_checker_stalls_it_once(judge: Judge) -> None:
    checker = "def check(input, output, expected):\n    while 'stall' in output: pass\n    return True"
    row: dict[str, Any] = {"checker": checker, "timeout": 0.5, "policy": "fraction"}
    verdict = judge(program("print('stall' if int(input()) > 5 else 1)"), SUM[:1] + SUM[1:] * 20, **row)
    assert (verdict.score, verdict.evidence["of"]) == (1 / 21, 21), verdict
    assert [test["status"] for test in verdict.evidence["tests"]] == ["ok", "timeout"]


def test_without_an_expected_output_a_crash_of_the_checker_counts_against_the_output(judge: Judge) -> None:
    tests = [{"input": "5\n"}, {"input": "7\n", "output": None}]
    assert judge(OTHER, tests, checker=FUNCTION).status == "ok"
    assert judge(OTHER, {"inputs": ["5", "7"]}, checker=FUNCTION).status == "ok"
    assert judge(GARBAGE, tests, checker=FUNCTION).status == "wrong"


def test_the_program_sees_neither_checker_nor_expected_output(judge: Judge) -> None:
    spy = "import os, sys\nprint(sorted(os.listdir('.')), sys.argv)"
    verdict = judge(
        program(spy), [{"input": "", "output": "secret"}], checker="def check(i, output, e): return False, output"
    )
    assert verdict.status == "wrong", verdict
    assert "[] ['main.py']" in verdict.reason, verdict


def test_only_the_full_score_passes_and_fractions_count_tests(judge: Judge) -> None:
    checker = "def check(input, output, expected): return 1.0 if input.startswith('5') else 0.9"
    assert judge(OTHER, SUM, checker=checker).score == 0.0
    assert judge(OTHER, SUM, checker=checker, policy="fraction").score == 0.5


def test_a_row_may_bring_its_checker(judge: Judge) -> None:
    assert judge(OTHER, SUM, info={"checker": FUNCTION}).status == "ok"
    assert judge(OTHER, SUM, info={"checker": ""}).status == "wrong"
    assert judge(OTHER, SUM, info={"checker": 5}).status == "infra_error"


@needs_gcc
def test_a_checker_that_does_not_compile_is_an_infrastructure_failure(judge: Judge) -> None:
    verdict = judge(OTHER, SUM, checker="int main() { return }", checker_style="testlib", checker_language="cpp")
    assert verdict.status == "infra_error", verdict
    assert "main.cpp" in verdict.reason, verdict
