"""The verifier of programs: formats, policies, statuses and limits."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.code import budget, inside
from lachesis.verifiers.code.budget import driver_source
from lachesis.verifiers.code.solution import Code
from lachesis.verifiers.errors import ConfigError, SandboxLost
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.sandbox.job import Execution
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]

DOUBLE = "print(2 * int(input()))"
PAIRS = {"inputs": ["1\n", "2\n", "3\n"], "outputs": ["2\n", "4\n", "6\n"]}
MBPP = {"format": "mbpp"}


def fenced(text: str) -> str:
    return f"```python\n{text}\n```"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (DOUBLE, "ok"),
        (f"{DOUBLE}; print()", "ok"),
        (f"{DOUBLE}; import os; os._exit(0)", "wrong"),  # nothing was flushed
        (f"{DOUBLE}; raise SystemExit(1)", "wrong"),
        (f"{DOUBLE}; print(7)", "wrong"),
        ("print(2", "unparseable"),
        ("while True: pass", "timeout"),
        ("x = bytearray(1 << 40)", "limit"),
        ("import os; x = [b'x' * (1 << 20) for _ in range(10_000)]", "limit wrong"),
        ("while True: print('x' * 1000)", "limit timeout"),
        (f"{DOUBLE}; print('\\n' * 10_000_000)", "limit"),
        ("", "unparseable"),
    ],
)
def test_a_program_of_standard_input_gets_its_status(judge: Judge, text: str, status: str) -> None:
    assert judge(fenced(text), PAIRS, timeout=1.0, memory=128 << 20).status in status.split()


def test_the_shapes_of_datasets_hold_the_same_tests(judge: Judge) -> None:
    rows = [{"input": "1\n", "output": "2\n"}, {"input": "2\n", "output": "4\n"}]
    lines = {"inputs": [["1"], ["2"]], "outputs": [["2"], ["4"]]}
    for answer in (rows, json.dumps(rows), {"inputs": ["1", "2"], "outputs": ["2", "4"]}, lines):
        assert judge(fenced(DOUBLE), answer).evidence["of"] == 2
        assert judge(fenced("print(2)"), answer).status == "wrong"


def test_live_code_bench_writes_calls_as_text(judge: Judge) -> None:
    answer = {"inputs": ['[1, 2]\n"a"', '[3]\n"b"'], "outputs": ['["a", "a"]', '["b"]'], "fn_name": "fill"}
    method = "class Solution:\n    def fill(self, xs: List[int], c: str) -> List[str]:\n        return [c for _ in xs]"
    assert judge(fenced(method), answer, format="call").passed
    assert judge(fenced("def fill(xs, c):\n    return [c] * len(xs)"), answer, format="call").passed
    assert judge(fenced("fill = lambda xs, c: (c,) * len(xs)"), answer, format="call").passed
    assert judge(fenced("def fill(xs, c):\n    return c * len(xs)"), answer, format="call").status == "wrong"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        "no",
        [1],
        [{"input": "1"}],
        {"inputs": ["1"], "outputs": []},
        [{"input": 1, "output": "1"}],
        "[" * 5000,
    ],
)
def test_a_broken_row_is_no_score(judge: Judge, answer: Any) -> None:
    verdict = judge(fenced(DOUBLE), answer)
    assert verdict.status == "infra_error"
    assert "repair the dataset" in verdict.reason


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"format": "call", "answer": [{"input": [1], "output": 1}]}, "fn_name"),
        ({"format": "call", "fn_name": "f", "answer": [{"input": "{", "output": "1"}]}, "not JSON"),
        ({"format": "call", "fn_name": "f", "answer": [{"input": 5, "output": "1"}]}, "arguments"),
        ({"format": "humaneval"}, "entry_point"),
        ({"format": "humaneval", "entry_point": "f", "test": "def check(c:"}, "do not run"),
        ({"format": "humaneval", "entry_point": "f", "test": "def check(candidate):\n    assert 1 == 1"}, "never call"),
        ({"format": "humaneval", "entry_point": "f", "test": "import no_such_module"}, "never call"),
        ({"format": "mbpp"}, "test_list"),
        ({"format": "mbpp", "answer": [1]}, "list of texts"),
        ({"format": "mbpp", "test_list": ["assert f(1) =="]}, "do not run"),
        ({"format": "mbpp", "test_list": ["assert f(1) == 1"], "test_setup_code": "1 / 0"}, "ZeroDivisionError"),
    ],
)
def test_tests_that_cannot_judge_are_no_score(judge: Judge, params: dict[str, Any], reason: str) -> None:
    verdict = judge(fenced("def f(x):\n    return x"), **params)
    assert verdict.status == "infra_error", verdict
    assert reason in verdict.reason


def test_partial_credit_counts_every_test(judge: Judge) -> None:
    verdict = judge(fenced("n = int(input())\nprint(4 if n == 2 else 1 / 0)"), PAIRS, policy="fraction")
    assert verdict.score == pytest.approx(1 / 3)
    assert [test["status"] for test in verdict.evidence["tests"]] == ["wrong", "ok", "wrong"]
    assert judge(fenced("print(1)"), PAIRS, policy="all").evidence["tests"][1:] == []


def test_a_call_that_ends_the_job_costs_only_its_own_test(judge: Judge) -> None:
    text = "import os\ndef f(n):\n    if n == 2: os._exit(0)\n    if n == 4:\n        while True: pass\n    return n"
    answer = [{"input": [n], "output": n} for n in range(1, 6)]
    verdict = judge(fenced(text), answer, format="call", fn_name="f", policy="fraction", timeout=1.0)
    assert [test["status"] for test in verdict.evidence["tests"]] == ["ok", "wrong", "ok", "timeout", "ok"]
    assert verdict.score == pytest.approx(0.6)


def test_partial_credit_of_a_script_counts_its_asserts(judge: Judge) -> None:
    test = "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == n\n"
    test += "    assert candidate(5) == 5\n"
    params = {"format": "humaneval", "entry_point": "f", "test": test, "policy": "fraction"}
    assert judge(fenced("def f(n):\n    return n if n != 2 else 0"), **params).score == 0.5
    assert judge(fenced("def f(n):\n    return n"), **params).score == 1.0
    verdict = judge(
        fenced("def f(n):\n    return n"), **MBPP, answer=["assert f(1) == 1", "assert f(1) == 2"], policy="fraction"
    )
    assert (verdict.score, verdict.status) == (0.5, "wrong")


@pytest.mark.parametrize(
    ("text", "tests", "status"),
    [
        ("def f(x): return (x, [x])", ["assert f(1) == (1, [1])"], "ok"),
        ("def f(x): return [x]", ["assert f(1) == (1,)"], "wrong"),
        ("def f(x): return {1: {2.5, None}}", ["assert f(1) == {1: {2.5, None}}"], "ok"),
        ("def f(x): return x", ["assert f(1 + 2j) == 1 + 2j and f(b'x') == b'x' and f(10**5000) == 10**5000"], "ok"),
        ("def f(x): return map(str, x)", ["assert list(f(range(2))) == ['0', '1']"], "ok"),
        ("def f(*, x=2): return x", ["assert f() == 2", "assert f(x=3) == 3"], "ok"),
        ("def f(x): raise ValueError('no')", ["try:\n    f(1)\n    assert False\nexcept ValueError:\n    pass"], "ok"),
        ("def f(x): raise TypeError('no')",
         ["try:\n    f(1)\n    assert False\nexcept ValueError:\n    pass"], "wrong"),
        ("class P:\n    def __init__(s, a): s.a = a\ndef f(ps): return sum(p.a for p in ps)",
         ["assert f([P(1), P(2)]) == 3"], "ok"),
        ("class S:\n    def __init__(s): s.x = []\n    def push(s, v): s.x.append(v)\n    def pop(s): return s.x.pop()",
         ["s = S()\ns.push(3)\nassert s.pop() == 3 and s.x == []"], "ok"),
        ("def f(x): x.sort()", ["x = [3, 1]\nf(x)\nassert x == [1, 3]"], "ok"),
        ("def f(x): x[0].append(1)", ["y = [0]\nx = [y, 5]\nf(x)\nassert y == [0, 1]"], "ok"),
        ("def f(x): x.update(a=1)", ["x = {}\nf(x)\nassert x == {'a': 1}"], "ok"),
        ("def f(x): return math.floor(x)", ["assert math.isclose(f(1.5), 1)"], "ok"),
        ("def g(x): return x", ["assert f(1) == 1"], "wrong"),
        ("def f(x: List[int]) -> Optional[int]: return Counter(x).most_common(1)[0][0]",
         ["assert f([1, 1, 2]) == 1"], "ok"),
        ("import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: int\ndef f(x): return P(x).a",
         ["assert f(1) == 1"], "ok"),
        ("async def f(x): return x", ["assert f(1) == 1"], "ok"),
        ("if __name__ == '__main__':\n    raise SystemExit\ndef f(x): return x", ["assert f(1) == 1"], "ok"),
        ("print('x' * 10_000_000)\ndef f(x): return x", ["assert f(1) == 1"], "ok"),
    ],
)  # fmt: skip
def test_calls_cross_as_they_are(judge: Judge, text: str, tests: list[str], status: str) -> None:
    verdict = judge(fenced(text), **MBPP, test_list=tests)
    assert verdict.status == status, verdict
    assert verdict.evidence["mode"] == "split"


def test_arguments_changed_in_place_count_where_that_is_declared(judge: Judge) -> None:
    row = {"completion": fenced("def f(x):\n    x.pop()\n    return len(x)"), **MBPP}
    tests = ["x = [1, 2]\nassert f(x) == 1 and x == [1]"]
    assert judge(**row, test_list=tests).status == "wrong"
    assert judge(**row, test_list=tests, in_place=True).passed


def test_what_cannot_be_split_runs_shared_and_says_so(judge: Judge) -> None:
    row = {**MBPP, "test_list": ["assert f(lambda n: n + 1, 1) == 2"]}
    verdict = judge(fenced("def f(g, n):\n    return g(n)"), **row)
    assert verdict.passed
    assert verdict.evidence["mode"] == "shared"
    assert judge(fenced("def f(g, n):\n    return 0"), **row).status == "wrong"
    assert judge(fenced("import os\ndef f(g, n):\n    os._exit(0)"), **row).status == "wrong"
    for value in (
        "type('E', (), {'__eq__': lambda s, o: True})()",
        "type('E', (int,), {'__eq__': lambda s, o: True})()",
    ):
        assert judge(fenced(f"def f(g, n):\n    return {value}"), **row).status == "wrong"


def test_the_candidate_cannot_ask_to_run_shared(judge: Judge) -> None:
    verdict = judge(fenced("def f(n):\n    return lambda: n"), **MBPP, test_list=["assert f(1) == 1"])
    assert verdict.status == "wrong"
    assert verdict.evidence["mode"] == "split"


@pytest.mark.parametrize(
    "params",
    [
        {"format": "mbpp", "test_list": ["assert f(lambda n: n + 1, 1) == 2"]},
        {
            "format": "humaneval",
            "entry_point": "f",
            "test": "def check(candidate):\n    assert helper(candidate(len, 'a'))",
        },
    ],
)
def test_what_trusts_the_candidate_is_refused_in_training_unless_allowed_by_name(judge: Judge, params: Any) -> None:
    judge("")  # a sandbox
    text = fenced("def helper(x):\n    return True\ndef f(g, n):\n    return g(n)")
    trajectory = Trajectory(
        Task("q"), messages={"policy": ({"role": "assistant", "content": text},)}, segments=(trained(),)
    )
    verdict = asyncio.run(Code(**params).verify(Case(trajectory)))
    assert verdict.status == "infra_error"
    assert "allow_shared" in verdict.reason
    assert asyncio.run(Code(**params, allow_shared=True).verify(Case(trajectory))).passed


def trained() -> Segment:
    return Segment(
        tokens=np.array([1, 2], np.int32),
        sampled=np.array([False, True]),
        mask=np.array([False, True]),
        logprobs=np.array([np.nan, -1.0], np.float32),
        versions=np.array([-1, 0], np.int32),
        temperature=1.0,
    )


def test_the_reference_stands_behind_the_name_that_tests_call(judge: Judge) -> None:
    """A candidate that is compared with itself would pass whatever it returns."""
    test = "def check(candidate):\n    assert candidate(3) == f(3)\n"
    params = {"format": "humaneval", "entry_point": "f", "test": test, "prompt": "def f(n):\n    '''Adds 1.'''\n"}
    assert judge(fenced("def f(n):\n    return 0"), "    return n + 1", **params).status == "wrong"
    assert judge(fenced("def f(n):\n    return 1 + n"), "    return n + 1", **params).passed


def test_the_helpers_of_the_prompt_are_the_tests_own(judge: Judge) -> None:
    test = "def check(candidate):\n    assert close(candidate(4), 2)\n"
    prompt = "def close(a, b):\n    return abs(a - b) < 1e-6\n\ndef root(x):\n    '''The square root.'''\n"
    params = {"format": "humaneval", "entry_point": "root", "test": test, "prompt": prompt}
    hack = "def close(a, b):\n    return True\ndef root(x):\n    return 0"
    assert judge(fenced(hack), **params).status == "wrong"
    assert judge("    return x ** 0.5", **params).passed


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [("while True: pass", "timeout", "took more than 1 s"), ("__import__('os')._exit(0)", "wrong", "before it had")],
)
def test_how_the_candidate_ended_is_said_of_the_test_in_which_it_did(
    judge: Judge, body: str, status: str, reason: str
) -> None:
    tests = ["assert f(0) == 0", "assert f(1) == 1"]
    verdict = judge(fenced(f"def f(n):\n    if n == 0: return 0\n    {body}"), tests, **MBPP, timeout=1.0)
    assert (verdict.status, verdict.evidence["of"]) == (status, 2)
    assert verdict.reason.startswith("test 2: ")
    assert reason in verdict.reason


def test_what_is_a_rows_own_may_stand_in_its_answer_or_info(judge: Judge) -> None:
    row = {"entry_point": "f", "test": "def check(candidate):\n    assert candidate(1) == 2"}
    text = fenced("def f(x):\n    return 2 * x")
    assert judge(text, row, format="humaneval").passed
    assert judge(text, None, info=row, format="humaneval").passed


@pytest.mark.parametrize(
    "params",
    [{"format": "c"}, {"policy": "any"}, {"compare": "x"}, {"timeout": 601}, {"timeout": 0}, {"total": 1e9},
     {"memory": True}, {"memory": 1.5e8}, {"memory": 512}, {"tolerance": -1}, {"tolerance": "x"}, {"tests": []}],
)  # fmt: skip
def test_an_impossible_parameter_is_a_config_error(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_verifier("code", params)


def test_a_run_that_uses_it_needs_a_sandbox() -> None:
    assert Rubric(use("code")).needs_sandbox


def test_limits_are_not_a_rows_to_set() -> None:
    assert not Code.row_params & {"timeout", "total", "memory", "allow_shared"}


@pytest.mark.parametrize("text", ["\ud800", fenced("x = '\ud800'"), fenced("\0"), "\0", "<think>", "```", fenced("\n")])
def test_no_text_is_our_failure(judge: Judge, text: str) -> None:
    pairs = {"inputs": [[1]], "outputs": [1], "fn_name": "f"}
    for params in ({}, {"format": "call"}, {**MBPP, "test_list": ["assert f(1) == 1"]}):
        verdict = judge(text, PAIRS if not params else pairs, **params)
        assert verdict.score == 0
        assert verdict.status in ("unparseable", "wrong")


class Lost:
    """A sandbox that is lost, or whose jobs end as ``execution`` says."""

    def __init__(self, execution: Execution | None) -> None:
        self.execution = execution

    async def run(self, job: Any) -> Execution:
        if self.execution is None:
            raise SandboxLost("gone")
        return self.execution

    async def converse(self, jobs: Any, drive: Any) -> Any:
        return None, [await self.run(job) for job in jobs]


@pytest.mark.parametrize("execution", [None, Execution("infra_error", reason="gone")])
def test_a_lost_sandbox_is_no_score(monkeypatch: pytest.MonkeyPatch, execution: Execution | None) -> None:
    monkeypatch.setattr(Case, "sandbox", property(lambda case: Lost(execution)))
    row = {"entry_point": "f", "test": "def check(c): pass", "test_list": ["assert f(1)"], "fn_name": "f"}
    for form in ("stdin", "call", "humaneval", "mbpp"):
        answer = PAIRS if form == "stdin" else {"inputs": [[1]], "outputs": [1]}
        messages = {"policy": ({"role": "assistant", "content": fenced("x")},)}
        verdict = asyncio.run(Code(format=form).verify(Case(Trajectory(Task("q", answer, row), messages=messages))))
        assert verdict.status == "infra_error", (form, verdict)


def test_no_two_programs_of_a_job_define_the_same_name() -> None:
    files = [
        Path(inside.__file__).with_name(f"{part}.py").read_text() for part in ("wire", "candidate", "script", "both")
    ]
    names = [name for text in files for name in re.findall(r"^(?:def|class) (\w+)|^(\w+) ?[:=]", text, re.MULTILINE)]
    twice = {name for name, count in Counter(first or second for first, second in names).items() if count > 1}
    assert twice == {"serve"}


@pytest.mark.parametrize("magic", [MAGIC_NUMBER, b"another"])
def test_a_job_of_another_python_compiles_its_program_itself(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, magic: bytes
) -> None:
    driver_source.cache_clear()
    monkeypatch.setattr(budget, "MAGIC_NUMBER", magic)
    assert judge(fenced("def f(x):\n    return x"), **MBPP, test_list=["assert f(1) == 1"]).passed
    driver_source.cache_clear()
