"""Expected answers as datasets have them: each is understood, or refused with the reason, and none is just wrong."""

import asyncio
import math
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.math.gold import read_gold
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

UNDERSTOOD = [
    (["70"], "70"),
    (("4",), "4"),
    ([r"\frac{1}{2}"], r"\frac{1}{2}"),
    ("['70']", "70"),
    ('["70"]', "70"),
    (70, "70"),
    (0.5, "0.5"),
    ("$70$", "$70$"),
    (r"So $x = \boxed{3}$.", "3"),
    ("She has 3 + 4 = 7 eggs.\n#### 7", "7"),
    ("The answer is 42.", "42"),
    ("Adding both equations gives $2x = 10$. The answer is $x = 5$.", "x = 5"),
    ("We add all of the numbers from one to ten in pairs, and so the final answer is $55$.", "$55$"),
    ("B", "B"),
    (r"\text{no solution}", r"\text{no solution}"),
    ("no real solutions", "no real solutions"),
    ("1, 2", "1, 2"),
    (r"x\in(0,1]", r"x\in(0,1]"),
    ("21,16$ or $11", "21,16$ or $11"),
    ("6 apples and 3 pears", "6 apples and 3 pears"),
]
REFUSED = [
    None,
    "",
    "   ",
    ".",
    True,
    math.nan,
    math.inf,
    "nan",
    "NaN",
    "null",
    "N/A",
    [],
    ["3", "4"],
    {"answer": 3},
    r"\frac{1}{",
    r"\begin{matrix",
    r"\begin{pmatrix}1\\2",
    "x^",
    "None",
    "(1, 2",
    r"\boxed{}",
    "['3', '4']",
    "3 *",
    r"\sqrt",
    "x}",
    "This is a long explanation which shows how one might think about the problem but never says what comes out",
]


@pytest.mark.parametrize(("field", "answer"), UNDERSTOOD)
def test_an_answer_in_another_wrapping_is_understood(field: Any, answer: str) -> None:
    assert read_gold(field).strip("$") == answer.strip("$")


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_without_an_answer_is_refused_and_judged_by_nobody(field: Any) -> None:
    with pytest.raises(DataError, match="answer"):
        read_gold(field)
    if isinstance(field, float):
        return  # a task cannot hold it
    said = ({"role": "assistant", "content": r"\boxed{5}"},)
    verdict = asyncio.run(Math().verify(Case(Trajectory(Task("q", field), messages={"policy": said}))))
    assert (verdict.status, verdict.score) == ("infra_error", None)


@pytest.mark.parametrize(("field", "answer"), UNDERSTOOD)
def test_what_is_understood_verifies_itself(field: Any, answer: str) -> None:
    assert asyncio.run(Math().self_check(field)) == ""
    said = ({"role": "assistant", "content": rf"\boxed{{{answer}}}"},)
    assert asyncio.run(Math().verify(Case(Trajectory(Task("q", field), messages={"policy": said})))).passed


@pytest.mark.parametrize("field", [*REFUSED, r"\frac{}{2}+\frac", r"\int_0^"])
def test_the_self_check_says_why_an_answer_cannot_verify_itself(field: Any) -> None:
    assert asyncio.run(Math().self_check(field))
