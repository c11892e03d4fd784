"""Final answers outside one box: what follows the last commitment decides, and naming several answers never pays."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

SEVERAL = [
    ("$x=2$ or $x=3$", "2, 3"),
    ("The final answer is $2$ or $3$", "2, 3"),
    ("The numbers are $1331$ and $1728$.", "1331, 1728"),
    ("So $n=2$, $n=3$ and $n=5$.", "2,3,5"),
    ("The answers are $2$ and $3$.", "2,3"),
    ("The answers are 1331 and 1728.", "1331 and 1728"),
    (r"Thus \(x = 2\) or \(x = 3\).", r"x=2\text{ or }x=3"),
    (r"Answers: $\frac12$ and $\frac13$", r"\frac13, \frac12"),
    ("The solutions are $2$, $3$.", r"\{2,3\}"),
    ("The answer is 2 and 3", "2,3"),
    ("The solutions are x = -1, x = 4.", "-1, 4"),
    ("The solutions are:\n- $2$\n- $3$", "2, 3"),
    (r"Hence $x = \pm 2$.", "-2, 2"),
    ("So the roots are $1$, $2$, and $3$.", "1,2,3"),
    ("The final answer is $x=1$ and $y=2$.", "(1,2)"),
    ("The answers are **4** and **9**.", "4, 9"),
    ("3, 4, 5", "3,4,5"),
    ("$2$ as well as $3$ work.", "2,3"),
    ("So x = 2 or x = 3.", "2,3"),
    ("n = 2, 3, or 5", "2,3,5"),
    (r"The possible values are $\sqrt{2}$ and $-\sqrt{2}$.", r"\pm\sqrt2"),
]
"""A reply that states several answers, and the list of them; none of them alone is paid."""

MARKED = [
    ("- **Answer:** 2√3", r"2\sqrt{3}"),
    ("The final answer is **x + 1**", "x+1"),
    ("**Final answer:** (1, 2)", "(1,2)"),
    ("<answer>(1, 2)</answer>", "(1,2)"),
    ("**Answer: 10 - 2√5**", r"10-2\sqrt{5}"),
    ("The answer is **(B)**.", "B"),
    ("The answer is **B**.", "B"),
    ("*Answer:* 2√3", r"2\sqrt{3}"),
    ("__Answer:__ 2√3", r"2\sqrt{3}"),
    ("### Final Answer\n\n$\\frac{3}{4}$", r"\frac34"),
    ("## Answer\n42", "42"),
    ("Answer: `13`", "13"),
    ("The answer is `x + 1`.", "x+1"),
    ("```\n42\n```", "42"),
    ("> **Answer:** 7", "7"),
    ("<answer>The answer is $\\frac{1}{2}$.</answer>", "1/2"),
    ("<answer>\n42\n</answer>", "42"),
    ("<answer>**42**</answer>", "42"),
    ("**Answer:** $x = 5$", "5"),
    ("The final answer is: **$\\frac{1}{2}$**.", "0.5"),
    ("The final answer is $5$ cm.", "5"),
    ("**The answer is $\\boxed{5}$.**", "5"),
    ("Final Answer: The final answer is $12$. I hope it is correct.", "12"),
    ("Answer: 2**5", "32"),
    ("The answer is $[0, 1)$.", "[0,1)"),
    ("So the answer is ***7***.", "7"),
    ("1. First, 2 + 2 = 4.\n2. The answer is 4.", "4"),
    ("The answer to the question is 12.", "12"),
    ("Answer: Monday", r"\text{Monday}"),
    ("The answer is _42_.", "42"),
    ("The correct option is **B**.", "B"),
    ("Ans: 5", "5"),
    ("<ANSWER>5</ANSWER>", "5"),
    ("Therefore, the result is 3/4.", r"\frac34"),
    ("The answer is -1 + exp(16)", "e^{16} - 1"),
]

LAST = [
    (r"Step 1: \boxed{x=3}. Step 2 gives the final answer \boxed{7}.", "7", True),
    (r"Step 1: \boxed{x=3}. Step 2 gives the final answer \boxed{7}.", "3", False),
    (r"\boxed{5} is the first part. The final answer is 6.", "6", True),
    (r"\boxed{5} is the first part. The final answer is 6.", "5", False),
    (r"So \boxed{12}. This is the final answer.", "12", True),
    (r"We find \boxed{12}. The final answer is in the box above.", "12", True),
    (r"\boxed{5}, so the final answer is $5$.", "5", True),
    ("#### 4\nWait, I forgot one. #### 5", "5", True),
    (r"\boxed{6}" + "\n#### 5", "5", True),
    (r"\boxed{6}" + "\n#### 5", "6", False),
    ("<answer>4</answer> <answer>5</answer>", "5", True),
    ("<answer>4</answer> <answer>5</answer>", "4", False),
    (r"<answer>4</answer> so \boxed{5}", "5", True),
    (r"\boxed{4} so <answer>5</answer>", "5", True),
    ("The answer is 3. Checking: 3 + 4 = 7.", "3", True),
    ("The answer is 3. Checking: 3 + 4 = 7.", "7", False),
    ("The answer is 9. No wait, it is 10.", "9", False),
    ("The answer is 9. No wait, it is 10.", "10", False),
    ("The answer is 9, or maybe 10.", "10", False),
    ("The answer is either 9 or 10.", "9", False),
    ("It is 10 apples or 11 apples.", "11", False),
    (r"The final answer is \boxed{9} or \boxed{10}.", "10", False),
    (r"The final answer is \boxed{9} or \boxed{10}.", "9", False),
    (r"The final answer is \boxed{9}. Alternatively, \boxed{10}.", "9", False),
    (r"The final answer is \boxed{9}. Alternatively, \boxed{10}.", "10", False),
    (r"(a) The first is \boxed{3}. (b) The second is \boxed{5}.", "3, 5", True),
    (r"(a) The first is \boxed{3}. (b) The second is \boxed{5}.", "(a) 3 (b) 5", True),
    (r"\boxed{(a) 3, (b) 5}", "(a) 3 (b) 5", True),
    (r"\boxed{(a) 5, (b) 3}", "(a) 3 (b) 5", False),
    (r"The minimum is \boxed{3}, and the maximum turns out to be \boxed{5}.", "3,5", True),
    (r"The minimum is \boxed{3}, and the maximum turns out to be \boxed{5}.", "5", False),
    (r"The minimum is \boxed{3}, the mean \boxed{4}, and the maximum \boxed{5}.", "3,5", False),
    (r"\boxed{1}\boxed{2}\boxed{3}", "3", False),
    (r"First \boxed{3}. The answer is \boxed{4}.", "4", True),
    (r"First \boxed{3}. The answer is \boxed{4}.", "3", False),
    ("$2x=6$\n$x=3$", "3", True),
    (r"The answer is \boxed{5} or the answer is \boxed{6}.", "6", False),
    (r"The answer is \boxed{5}. Alternatively, the answer is \boxed{6}.", "6", False),
    ("The answer is 5, or the answer is 6.", "6", False),
    ("The answer is 5, or the answer is 6.", "5", False),
    ("The answer is A. Or maybe B.", "A", False),
    ("$5$ (or $6$)", "6", False),
    ("He has 3 dozen = 36 eggs", "36", True),
    ("We get $2x=6$, $x=3$", "3", True),
    ("The answer is $5$. However, it could also be $6$.", "5", False),
    ("<answer>5 or 6</answer>", "6", False),
    (r"Thus $x = 2$ or $x = 3$.", "x=3", False),
    (r"Let $x=3$ and $y=4$. Then the sum is $7$.", "7", True),
]


def judge(text: str, answer: Any) -> Verdict:
    said = ({"role": "assistant", "content": text},)
    return asyncio.run(Math().verify(Case(Trajectory(Task("q", answer), messages={"policy": said}))))


def test_several_answers_at_the_end_are_one_list_and_none_of_them_alone() -> None:
    assert [row for row in SEVERAL if not judge(*row).passed] == []
    single = [(text, part.split("=")[-1].strip(r" \{}")) for text, gold in SEVERAL for part in gold.split(",")[-1:]]
    single = [(text, gold) for text, gold in single if "or" not in gold and "pm" not in gold and "and" not in gold]
    assert len(single) > 12
    assert [row for row in single if judge(*row).score != 0] == []


def test_markup_around_a_stated_answer_changes_nothing() -> None:
    assert [row for row in MARKED if not judge(*row).passed] == []
    shifted = [(text, MARKED[number - 1][1]) for number, (text, gold) in enumerate(MARKED)]
    shifted = [
        row for row, (_, gold) in zip(shifted, MARKED, strict=True) if not judge(rf"\boxed{{{gold}}}", row[1]).passed
    ]
    assert len(shifted) > 20
    assert [row for row in shifted if judge(*row).score != 0] == []


@pytest.mark.parametrize(("text", "gold", "right"), LAST)
def test_the_last_commitment_decides_and_a_hedge_is_not_paid(text: str, gold: str, right: bool) -> None:
    assert judge(text, gold).passed is right


def test_every_shared_field_row_and_lost_honest_answer_gets_its_verdict(shared_data: Callable[[str], Path]) -> None:
    rows = [json.loads(line) for line in shared_data("field_rows.jsonl").read_text().splitlines()]
    rows += [
        {"expected": 1.0, **json.loads(line)}
        for line in shared_data("attacks/honest_lost.jsonl").read_text().splitlines()
    ]
    rows = [row for row in rows if row["verifier"] == "math"]
    wrong = []
    for row in rows:
        verdict = judge(row["completion"], row["answer"])
        refused = verdict.status == "infra_error" and row["expected"] == "infra_error or 1.0"
        right = 1.0 if isinstance(row["expected"], str) else row["expected"]
        wrong += [] if refused or verdict.score == right else [(row, verdict)]
    assert len(rows) > 90
    assert wrong == []
