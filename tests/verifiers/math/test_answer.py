"""The math verifier: what is the answer, is it right, and what can a hostile one do."""

import asyncio
import os
import signal
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.math import answer as math_answer
from lachesis.verifiers.math.answer import Math, compare_exactly, find_answer, last_box
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(text: str, answer: Any, **params: Any) -> Verdict:
    return asyncio.run(Math(**params).verify(case(text, answer)))


def case(text: str, answer: Any) -> Case:
    return Case(Trajectory(Task("q", answer), messages={"policy": ({"role": "assistant", "content": text},)}))


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"\boxed{42}", "42"),
        (r"first \boxed{1}, then \boxed{2}.", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\fbox {7}", "7"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed 5", ""),
        ("42", ""),
        ("\\boxed{" * 20_000, ""),
    ],
)
def test_the_box_is_the_last_one_that_is_closed(text: str, box: str) -> None:
    assert last_box(text) == box


@pytest.mark.parametrize(
    ("text", "numeric", "found"),
    [
        (r"#### 5 or \boxed{6}", True, "6"),
        ("7\n#### 1,080\n", True, "1,080"),
        ("#### 5\n#### 6", True, "6"),
        ("She has 3 eggs, so the answer is 18.", True, "18"),
        ("She earns $18 a day.", True, "$18"),
        ("It is 50%.", True, "50%"),
        ("so 10-3=7", True, "7"),
        (r"Thus $x = 3$ and $y = \frac{1}{2}$.", True, r"x = 3, y = \frac{1}{2}"),
        (r"where $x = 3$, so 12 in all", True, "12"),
        ("nothing here", True, ""),
        ("First.\nThe answer is: x+1.", False, "x+1"),
        ("", False, ""),
    ],
)
def test_the_answer_is_looked_for_in_the_declared_order(text: str, numeric: bool, found: str) -> None:
    assert find_answer(text, math_answer.WAYS, numeric) == found


def test_only_the_declared_ways_count() -> None:
    assert judge("so 18", "18").passed
    assert judge("so 18", "18", extract=["boxed", "hash"]).status == "unparseable"
    assert judge("#### 18", "18", extract=["boxed"]).status == "unparseable"


@pytest.mark.parametrize(
    ("text", "answer", "status"),
    [
        (r"<think>\boxed{3}</think> I do not know.", "3", "unparseable"),
        (r"<think>\boxed{4}</think> \boxed{3}", "3", "ok"),
        (r"\boxed{3} <think> \boxed{4}", "4", "wrong"),
        (r"\boxed{1234}", "1,234", "ok"),
        (r"\boxed{18}", 18, "ok"),
        (r"\boxed{3}", r"so $x = \boxed{3}$", "ok"),
        (r"\boxed{3}", "she has\n#### 3", "ok"),
        (r"\boxed{5 \text{ cm}}", r"5\text{ m}", "wrong"),
        (r"\boxed{0.333}", r"\frac{1}{3}", "wrong"),
    ],
)
def test_numbers_are_judged_without_a_worker(text: str, answer: Any, status: str) -> None:
    assert judge(text, answer).status == status


@pytest.mark.parametrize(
    ("text", "answer", "status"),
    [
        (r"\boxed{(x-1)(x+1)}", "x^2-1", "ok"),
        (r"\boxed{x+1}", r"\frac{x^2-1}{x-1}", "ok"),
        (r"\boxed{\{2,1\}}", r"\{1,2\}", "ok"),
        (r"\boxed{(2,1)}", "(1,2)", "wrong"),
        (r"\boxed{y+1}", "x+1", "wrong"),
        (r"\boxed{5}", "x=5", "ok"),
        (r"\boxed{x=5}", "5", "ok"),
        (r"\boxed{[0,1]}", "[0,1)", "wrong"),
        (r"\boxed{\frac{\sqrt{8}}{2}}", r"\sqrt{2}", "ok"),
    ],
)
def test_math_verify_judges_the_rest(text: str, answer: str, status: str) -> None:
    assert judge(text, answer).status == status


def test_gold_comes_first_and_prediction_second() -> None:
    """An interval answers an inequality, but math-verify refuses the inverse: swapped arguments would show here."""
    assert judge(r"\boxed{(3,\infty)}", "x>3").passed
    assert judge(r"\boxed{x>3}", r"(3,\infty)").status == "wrong"


@pytest.mark.parametrize("answer", [None, "", "   ", r"\frac{1}{", r"\begin{matrix"])
def test_an_answer_that_cannot_be_read_asks_to_repair_the_dataset(answer: Any) -> None:
    verdict = judge(r"\boxed{x+1}", answer)
    assert verdict.status == "infra_error"
    assert "repair the dataset" in verdict.reason


HOSTILE = [
    "9^{9^{9^9}}",
    "(" * 900 + "1" + ")" * 900,
    "(" * 3000 + "1" + ")" * 3000,
    "1" * 100_000,
    "{" * 50_000,
    r"\frac{" * 300 + "1" + "}{2}" * 300,
    "x^{" * 300 + "2" + "}" * 300,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    "10!!!!!!!!!",
    r"\binom{10^{9}}{10^{8}}",
    r"\int_0^1 x^{x^{x^x}} dx",
    r"\begin{pmatrix}"
    + r"\\".join("&".join(f"a_{{{i},{j}}}" for j in range(12)) for i in range(12))
    + r"\end{pmatrix}",
    r"__import__('os').system('touch /tmp/lachesis_was_here')",
    r"\text{__import__('os')._exit(0)}",
    "\0\ud800\u202e",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_answer_earns_nothing_and_the_next_check_is_unaffected(text: str) -> None:
    start = time.monotonic()
    verdict = judge(rf"\boxed{{{text}}}", r"\lfloor x\rfloor+7")
    assert verdict.score == 0
    assert verdict.status in ("wrong", "unparseable", "timeout", "limit")
    assert time.monotonic() - start < 20  # a second of CPU time, on a machine that others use too
    assert judge(r"\boxed{7+\lfloor x\rfloor}", r"\lfloor x\rfloor+7").passed
    assert not os.path.exists("/tmp/lachesis_was_here")


def test_a_worker_killed_in_the_middle_of_a_check_leads_to_no_wrong_score() -> None:
    assert judge(r"\boxed{7+\lfloor x\rfloor}", r"\lfloor x\rfloor+7").passed
    for pid in math_answer._workers().pids:
        os.kill(pid, signal.SIGSTOP)

    async def kill_meanwhile() -> Verdict:
        asking = asyncio.ensure_future(Math().verify(case(r"\boxed{8+\lfloor x\rfloor}", r"\lfloor x\rfloor+8")))
        await asyncio.sleep(0.3)
        assert not asking.done()
        for pid in math_answer._workers().pids:
            os.kill(pid, signal.SIGKILL)
        return await asking

    assert asyncio.run(kill_meanwhile()).passed


def test_several_event_loops_share_the_workers() -> None:
    verdicts: dict[int, bool] = {}

    async def several(first: int) -> None:
        numbers = range(first, first + 4)
        checks = [
            Math().verify(case(rf"\boxed{{\lfloor x\rfloor+{n}}}", rf"{n + n % 2}+\lfloor x\rfloor")) for n in numbers
        ]
        for n, verdict in zip(numbers, await asyncio.gather(*checks), strict=True):
            verdicts[n] = verdict.passed

    threads = [threading.Thread(target=asyncio.run, args=(several(first),)) for first in (0, 4, 8, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {n: n % 2 == 0 for n in range(16)}


@given(st.text(max_size=300), st.text(min_size=1, max_size=50))
def test_no_text_makes_the_exact_paths_raise(text: str, gold: str) -> None:
    for numeric in (True, False):
        compare_exactly(gold, find_answer(text, math_answer.WAYS, numeric))
