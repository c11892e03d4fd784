"""The form policy: an answer must be evaluated as far as the expected one, and may not only repeat the question."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.math.form import restates
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

UNEVALUATED = [
    ("5050", r"\sum_{i=1}^{100} i"),
    ("2", r"\int_0^{\pi}\sin x\,dx"),
    ("121932631112635269", r"123456789 \times 987654321"),
    ("184756", r"\binom{20}{10}"),
    ("x+1", r"\frac{x^2-1}{x-1}"),
    ("-2", r"\det\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    ("-2", r"\begin{vmatrix}1&2\\3&4\end{vmatrix}"),
    (r"\frac{\pi^2}{6}", r"\sum_{n=1}^{\infty}\frac{1}{n^2}"),
    ("3x^2", r"\frac{d}{dx}x^3"),
    ("(x+1)(x+2)", "x^2+3x+2"),
    ("(x-1)^2", "x^2-2x+1"),
    ("120", "5!"),
    ("120", r"\prod_{k=1}^{5} k"),
    ("1", r"\lim_{x\to 0}\frac{\sin x}{x}"),
    ("391", r"17 \cdot 23"),
    ("391", "17*23"),
    ("391", "(17)(23)"),
    ("72", r"2^3 \cdot 3^2"),
    ("936", "347+589"),
    ("58", "100-42"),
    (r"\frac56", r"\frac12+\frac13"),
    ("6", r"\gcd(12,18)"),
    ("3", r"\lfloor 3.7\rfloor"),
    ("7", r"\max(3,7)"),
    (r"\frac{n(n+1)}{2}", r"\sum_{k=1}^n k"),
    (r"\frac{x^2}{2}", r"\int x\,dx"),
    ("0.3", "0.1+0.2"),
    ("x-2", r"\frac{x^2-4}{x+2}"),
    ("20, 10", r"4+16, \binom{5}{2}"),
    ("5050", r"\frac{100\cdot 101}{2}"),
    ("5", r"\sqrt{3^2+4^2}"),
    ("341", r"\frac{2^{10}-1}{3}"),
    ("24", "2^5-2^3"),
    ("8", "3-(-5)"),
    ("42", "6(7)"),
    ("7", r"\frac{21}{3}"),
    ("1.5", r"\frac34\div\frac12"),
    ("1", r"\sin^2 x+\cos^2 x"),
    ("x", r"\frac{x^2}{x}"),
    (
        r"\begin{pmatrix}3&0\\0&3\end{pmatrix}",
        r"\begin{pmatrix}1&0\\0&1\end{pmatrix}+\begin{pmatrix}2&0\\0&2\end{pmatrix}",
    ),
    (r"\ln 2", r"\int_1^2\frac{dx}{x}"),
]
"""An expected answer, and an equal one that leaves the work to do."""

EVALUATED = [
    (r"\sum_{i=1}^{100} i", "5050"),
    (r"\binom{20}{10}", "184756"),
    (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
    (r"\frac{n(n-1)}{2}", r"\binom{n}{2}"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    ("x^2+3x+2", "(x+1)(x+2)"),
    ("3", r"\log_2 8"),
    ("0.001", "10^{-3}"),
    ("1024", "2^{10}"),
    ("1023", "2^{10}-1"),
    ("3", "|-3|"),
    (r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\frac{\sqrt2}{2}", r"\sin 45^\circ"),
    (r"2\sqrt3", r"\sqrt{12}"),
    ("7", "3+4=7"),
    ("5050", r"\sum_{i=1}^{100} i = 5050"),
    ("391", r"17\cdot 23=391"),
    (r"6.02\times10^{23}", r"6.02\cdot 10^{23}"),
    (r"\frac12", r"\frac{3}{6}"),
    (r"(x+1)(x+2)", "(x+2)(x+1)"),
    (r"\frac{1}{x+1}", r"\frac{x-1}{x^2-1}"),
    ("10", "(9+1)"),
    (r"2^3\cdot 3^2", r"3^2\cdot 2^3"),
    (r"2\cdot 3^n", r"6\cdot 3^{n-1}"),
    (r"1+\sqrt2", r"\sqrt2+1"),
    (r"\frac{5}{6}+\pi", r"\pi+\frac56"),
    (r"\frac{1+\sqrt5}{2}", r"\frac{\sqrt5+1}{2}"),
    ("-1", r"e^{i\pi}"),
    ("e^{-x}", r"\frac{1}{e^x}"),
    ("x^{-1}", r"\frac{1}{x}"),
    (r"\tan x", r"\frac{\sin x}{\cos x}"),
    (r"\{1,2\}", r"x\in\{1,2\}"),
]
"""An expected answer, and an equal one in a form that is accepted."""


def judge(answer: str, gold: Any, prompt: str = "q", **params: Any) -> Verdict:
    said = ({"role": "assistant", "content": rf"So the answer is $\boxed{{{answer}}}$."},)
    return asyncio.run(Math(**params).verify(Case(Trajectory(Task(prompt, gold), messages={"policy": said}))))


def test_an_answer_that_leaves_the_work_to_do_is_wrong_and_says_what_is_left() -> None:
    verdicts = {(gold, answer): judge(answer, gold) for gold, answer in UNEVALUATED}
    assert [pair for pair, verdict in verdicts.items() if verdict.score != 0] == []
    assert all("not evaluated" in verdict.reason for verdict in verdicts.values())


def test_a_simpler_or_equally_simple_form_is_right() -> None:
    assert [(gold, answer) for gold, answer in EVALUATED if not judge(answer, gold).passed] == []


def test_the_option_any_accepts_every_form_but_no_other_value() -> None:
    assert [pair for pair in UNEVALUATED if not judge(pair[1], pair[0], form="any").passed] == []
    assert judge(r"\sum_{i=1}^{100} i", "5051", form="any").score == 0


@pytest.mark.parametrize(
    ("prompt", "gold", "answer", "right"),
    [
        ("Compute $3+4$.", "7", "3+4", False),
        ("What is 84 / 7?", "12", "84/7", False),
        (r"Evaluate $\log_2 8$.", "3", r"\log_2 8", False),
        (r"Find $\sin 45^\circ$.", r"\frac{\sqrt2}{2}", r"\sin 45^\circ", False),
        (r"Simplify $\sqrt{50}$.", r"5\sqrt{2}", r"\sqrt{50}", False),
        (r"Simplify \(\dfrac{6}{8}\).", r"\frac34", r"\frac{6}{8}", False),
        ("Compute $2^{10}$.", "1024", "2^{10}", False),
        (r"Expand $(x+1)^2$.", "x^2+2x+1", "(x+1)^2", False),
        (r"Solve $2x = 8$ with $x = 3+1$.", "4", "4", True),
        ("A coin shows heads with probability 1/2. What is the chance?", "0.5", "1/2", True),
        (r"Is $\sqrt{2}+1$ or $1$ larger?", r"1+\sqrt{2}", r"\sqrt{2}+1", True),
        (r"Compute $13+45$.", "58", "3+4", False),
    ],
)
def test_the_questions_own_expression_is_no_answer(prompt: str, gold: str, answer: str, right: bool) -> None:
    assert judge(answer, gold, prompt).passed is right


def test_a_restatement_is_found_only_as_a_whole() -> None:
    assert restates("7", "3+4", "What is 3 + 4?")
    assert not restates("7", "3+4", "What is 13+45?")
    assert not restates("7", "3+4", "")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="form"):
        Math(form="simplified")


def test_no_echo_and_no_letter_of_the_shared_attacks_is_paid(shared_data: Callable[[str], Path]) -> None:
    rows = [
        json.loads(line)
        for name in ("attacks/math_echo.jsonl", "attacks/math_loose_universal.jsonl")
        for line in shared_data(name).read_text().splitlines()
    ]
    paid = []
    for row in rows:
        said = ({"role": "assistant", "content": row["completion"]},)
        case = Case(Trajectory(Task("q", row["answer"]), messages={"policy": said}))
        paid += [row] if asyncio.run(Math(**row["params"]).verify(case)).score != 0 else []
    assert len(rows) >= 14
    assert paid == []


LOOSE = [
    ("f(x)", "f(y)", True),
    ("2x+1", "2t+1", True),
    ("a+2b", "x+2y", True),
    ("x^2+y^2=1", "a^2+b^2=1", True),
    ("(1,2)", r"\{2,1\}", True),
    ("A", "x", False),
    ("x", "A", False),
    ("B", "C", False),
    ("x", "y", False),
    (r"\theta", "x", False),
    ("xy", "ab", False),
    ("no", "xy", False),
    ("2x+1", "2x+y", False),
    ("a+2b", "x+2x", False),
    ("x+y", "x", False),
    ("e^2", "x^2", False),
    ("2i", "2x", False),
    (r"\pi", "x", False),
    ("x+1", "y+2", False),
]
"""Without strictness, names may differ one to one in a formula, but a name alone is an answer itself."""


@pytest.mark.parametrize(("gold", "answer", "right"), LOOSE)
def test_without_strictness_no_letter_stands_for_every_answer(gold: str, answer: str, right: bool) -> None:
    assert judge(answer, gold, strict=False).passed is right
