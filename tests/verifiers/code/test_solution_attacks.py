"""Ways to pass without the task, or to turn a failure into ``infra_error``: none works, and honest programs pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.code.solution import MAX_PROGRAM
from lachesis.verifiers.rows.jsonl import read_jsonl
from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]
JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]
MBPP = {"format": "mbpp"}


def fenced(text: str) -> str:
    return f"```python\n{text}\n```"


def test_the_rows_that_succeeded_once_do_not(judge_all: JudgeAll, shared_data: Callable[[str], Path]) -> None:
    rows = [
        row
        for name in ("code_force_shared", "code_infra_by_oversized_reply", "code_burn_at_load")
        for row in read_jsonl(shared_data(f"attacks/{name}.jsonl"))
    ]
    given = [{"completion": row["completion"], "answer": row["answer"], **row["params"]} for row in rows]
    for row, verdict in zip(rows, judge_all(given), strict=True):
        name = row.get("name", "burn")
        assert verdict.score == (1.0 if name.endswith("honest") else 0.0), (name, verdict)
        assert verdict.status != "infra_error", (name, verdict)
        assert verdict.evidence.get("mode", "split") == "split"


HACK = """
import __main__
def _run(self, remote):
    remote.calls = 1
    return {"complete": True, "error": "", "passed": 1, "failed": 0, "calls": 1, "of": 1, "results": [["t", "ok", ""]]}
try: __main__.Script.run = _run
except AttributeError: pass
"""


@pytest.mark.parametrize(
    "made",
    [
        "iter(x)", "reversed(x)", "map(str, x)", "zip(x)", "enumerate(x)", "(a for a in x)", "dict.fromkeys(x).keys()",
        "{1: x}.items()", "{1: x}.values()", "range(3)", "type('L', (list,), {})(x)", "lambda: x", "object()", "open",
        "__import__('collections').deque(x)", "type('E', (Exception,), {})()",
        "__import__('itertools').count()", "b'x'",
    ],
)  # fmt: skip
def test_no_value_of_the_candidate_moves_the_tests_into_its_process(judge: Judge, made: str) -> None:
    program = fenced(f"{HACK}def enc(x): return {made}\ndef dec(x): return None")
    tests = ["assert dec(enc('abc')) == 'abc'", "assert dec([enc('abc')]) == 'abc'"]
    verdict = judge(program, **MBPP, test_list=tests, policy="fraction")
    assert (verdict.score, verdict.evidence["mode"]) == (0.0, "split"), verdict


def test_a_value_nested_as_deep_as_can_cross_comes_back(judge: Judge) -> None:
    program = "def enc(n):\n    x = []\n    for _ in range(n): x = [x]\n    return x\n"
    program += "def dec(x):\n    n = 0\n    while x: x = x[0]; n += 1\n    return n"
    tests = [f"assert dec([enc({depth})]) == {depth + 1}" for depth in (1, 50, 98, 99, 100, 150)]
    verdict = judge(fenced(f"{HACK}{program}"), **MBPP, test_list=tests, policy="fraction")
    assert verdict.evidence["mode"] == "split", verdict
    assert [test["status"] for test in verdict.evidence["tests"]] == ["ok"] * 4 + ["wrong"] * 2


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def enc(x): return reversed(x)\ndef dec(x): return ''.join(reversed(list(x)))", "dec(enc('abc')) == 'abc'"),
        ("def uniq(x): return dict.fromkeys(x).keys()\ndef count(x): return len(x)", "count(uniq([1, 1, 2])) == 2"),
        ("def f(x): return sum(x)", "f(n * n for n in range(4)) == 14"),
        ("def f(x): return list(x)", "f(iter('ab')) == ['a', 'b']"),
        ("def f(x): return sorted(x)", "f({2: 3, 1: 4}.items()) == [(1, 4), (2, 3)]"),
        ("def f(x): return dict(x)", "f(zip('ab', [1, 2])) == {'a': 1, 'b': 2}"),
        ("def f(x): return max(x)", "f(map(int, '132')) == 3"),
        ("def f(x): return next(iter(x))", "f({7: 1}.keys()) == 7"),
        ("def f(x): return x\ndef g(x): return len(list(x))", "g(f(iter('abc'))) == 3"),
        ("def f(n):\n    while n: yield n; n -= 1\ndef g(x): return list(x)", "g(f(2)) == [2, 1]"),
    ],
)
def test_views_and_iterators_cross_in_both_directions(judge: Judge, program: str, test: str) -> None:
    verdict = judge(fenced(program), **MBPP, test_list=[f"assert {test}"])
    assert verdict.passed, verdict
    assert verdict.evidence["mode"] == "split"


@pytest.mark.parametrize(
    "body",
    [
        "w(b'[1,\"value\",[\"l\"' + b',0' * 1_900_000 + b'],null]')",  # longer when it is written anew with spaces
        "w('[1,\"value\",\"{}\",null]'.format('é' * 1_900_000).encode())",  # six times longer when it is escaped
        "w(b'[1,\"value\",\"' + b'x' * 5_000_000 + b'\",null]')",
        "w(b'[1,\"value\",' + b'9' * 10_000 + b',null]')",  # an integer that the parent cannot read
        "w(b'[1,\"value\",1e999,null]')",
        "w(b'[1,\"value\",' + b'[' * 100_000 + b']' * 100_000 + b',null]')",
        "w(b'[1,\"raised\",\"' + b'A' * 3_000_000 + b'\"]')",
        "return 'é' * 1_000_000",
        "return {'k' * 3_000_000: 10**4000}",
        "import time; time.sleep(3)",
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", marks=pytest.mark.slow),
        "raise type('E' * 1_000_000, (Exception,), {})()",
    ],
)
@pytest.mark.parametrize("form", ["mbpp", "call"])
def test_no_answer_is_our_failure(judge: Judge, body: str, form: str) -> None:
    program = "def f(x):\n    import os\n    def w(d):\n        d += b'\\n'\n"
    program += f"        while d: d = d[os.write(4, d):]\n        os._exit(0)\n    {body}"
    params: dict[str, Any] = {"format": "call", "fn_name": "f", "answer": [{"input": [1], "output": 1}]}
    if form == "mbpp":
        params = {"format": "mbpp", "test_list": ["assert f(1) == 1"]}
    if form == "call":
        program = program.replace('[1,"', '[0,"')
    verdict = judge(fenced(program), timeout=2.0, **params)
    assert verdict.score == 0.0, verdict
    assert verdict.status != "infra_error", verdict


@pytest.mark.parametrize("form", ["stdin", "call", "humaneval", "mbpp"])
@pytest.mark.parametrize("filler", ["x" * MAX_PROGRAM, "é" * (MAX_PROGRAM // 2 - 100), "\N{GRINNING FACE}" * 100_000])
def test_no_length_of_a_program_is_our_failure(judge: Judge, form: str, filler: str) -> None:
    params: dict[str, Any] = {"answer": {"inputs": ["1"], "outputs": ["2"]}}
    if form == "humaneval":
        params = {"entry_point": "f", "prompt": "def f(x):\n", "test": "def check(c):\n    assert c(1) == 1"}
    if form == "mbpp":
        params = {"test_list": ["assert f(1) == 1"]}
    if form == "call":
        params["fn_name"] = "f"
    verdict = judge(fenced(f"# {filler}"), format=form, timeout=2.0, **params)
    assert verdict.score == 0.0, verdict.reason
    assert verdict.status != "infra_error", verdict.reason


def test_cpu_burnt_while_loading_uses_up_no_time_of_the_tests(judge: Judge) -> None:
    burn = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.5: pass\n"
    for value, status in (("None", "wrong"), ("1", "ok")):
        verdict = judge(fenced(f"{burn}def f(x): return {value}"), **MBPP, test_list=["assert f(1) == 1"], timeout=1.0)
        assert verdict.status == status, verdict
    assert judge(fenced("while True: pass"), **MBPP, test_list=["assert f(1) == 1"], timeout=1.0).status == "timeout"


def test_functions_that_tests_borrow_from_the_candidate_are_flagged(
    judge: Judge, shared_data: Callable[[str], Path]
) -> None:
    (row,) = read_jsonl(shared_data("attacks/code_mbpp_borrowed.jsonl"))
    verdict = judge(row["completion"], **row["params"])
    assert verdict.evidence["borrowed"] == ["close", "solve"]
    assert "borrowed" in verdict.reason
    for params, borrowed in (
        ({"fn_name": "solve"}, ["close"]),
        ({"test_setup_code": "def close(a, b): return a == b"}, None),
        ({"test_setup_code": "from math import isclose as close"}, None),
    ):
        again = judge(row["completion"], **row["params"], **params)
        assert again.evidence.get("borrowed") == borrowed
    alone = judge(fenced("class P:\n    def __init__(s, a): s.a = a\ndef f(p): return p.a"), **MBPP,
                  test_list=["assert f(P(1)) == 1"])  # fmt: skip
    assert alone.passed
    assert "borrowed" not in alone.evidence


def test_a_shared_process_shows_in_the_reason(judge: Judge) -> None:
    verdict = judge(fenced("def f(g, n):\n    return g(n)"), **MBPP, test_list=["assert f(lambda n: n + 1, 1) == 2"])
    assert verdict.passed
    assert "in one process with the candidate" in verdict.reason


@pytest.mark.parametrize(("right", "of"), [(299, 300), (0, 250), (250, 250), (1, 201)])
def test_partial_credit_counts_tests_beyond_those_that_are_listed(judge: Judge, right: int, of: int) -> None:
    tests = [f"assert f({number}) == {number}" for number in range(of)]
    program = fenced(f"def f(x): return x if x < {right} else -1")
    verdict = judge(program, **MBPP, test_list=tests, policy="fraction")
    assert verdict.score == pytest.approx(right / of)
    script = "def check(f):\n" + "\n".join(f"    {test}" for test in tests)
    verdict = judge(program, format="humaneval", entry_point="f", test=script, policy="fraction")
    assert verdict.score == pytest.approx(right / of)
