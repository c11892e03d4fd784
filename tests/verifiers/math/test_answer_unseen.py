"""Answers in more notations of models and datasets: every right one is paid, and no other one."""

import asyncio

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

Group = tuple[str, list[str], list[str]]
"""The expected answer, boxes that are right, and boxes that look alike."""

SCALES: list[Group] = [
    (
        "1,000,000",
        ["1 million", r"1\text{ million}", "1'000'000", "10^6"],
        [r"1\text{ billion}", "1'000", "1 thousand"],
    ),
    ("2.5 million", ["2500000", r"2.5\text{ million}", r"2.5\times10^6"], ["2.5", "25 million", "2.5 billion"]),
    (r"\$12.50", ["USD 12.50", r"\text{\$12.50}", "1250 cents"], ["1250", "€12.50", r"\$12.50 \text{ or } \$13"]),
    ("Rs. 500", ["500", "₹500", "500 rupees", r"\text{Rs. }500"], ["Rs. 50", "500 dollars"]),
    ("€12", ["12€", "12 euros", "EUR 12"], ["€13", "$12"]),
    (r"3 \times 10^{-4}", ["3 x 10^-4"], ["3 x 10^4"]),
    (r"\frac{7}{3}", ["2.(3)", "2⅓"], ["2.33", "2.(4)"]),
    (r"0.1\overline{6}", [r"0.1666\ldots", "0.1(6)", "1/6"], ["0.1666", r"0.1777\ldots"]),
    ("21st", ["21", r"21^{\text{st}}", r"21^{st}"], ["22nd", "12"]),
    (
        "13",
        [r"\ 13\ ", r"13\ \checkmark", r"13\.", r"\therefore 13", r"\phantom{1}13"],
        [r"\phantom{13}14", "13 hundred"],
    ),
    (
        "5",
        [r"\text{The value is } 5", r"\text{Total} = 5", r"|A|=5", "[ABC]=5", r"\overline{AB}=5"],
        [r"\text{not } 5"],
    ),
    ("3.14", [r"\approx 3.14", r"\pi\approx 3.14"], [r"\pi", r"\approx 3.1"]),
    ("5", [], ["P(5,1)", "5th of May", "none", r"m+n=5", r"\mp 5", r"\text{The value is not } 5", "5_{12}", "C(5,1)"]),
]
UNITS: list[Group] = [
    (r"5\text{ m/s}", ["5 m/s", r"18\text{ km/h}", r"5 \frac{\text{m}}{\text{s}}"], ["5 m", r"5\text{ s/m}", "18 m/s"]),
    (r"5\text{ m/s}", [r"5\text{ meters per second}"], [r"5\text{ m/min}", r"5\text{ km/h}"]),
    (r"60\text{ km/h}", [r"60\text{ kmph}", r"60\ \mathrm{km}/\mathrm{h}", r"1\text{ km/min}"], [r"60\text{ mph}"]),
    (
        r"2.5\text{ hours}",
        ["2.5 h", r"2\text{ hours }30\text{ minutes}", r"2 \text{ h } 30 \text{ min}"],
        ["2.5 minutes"],
    ),
    (r"30\text{ min}", ["30", r"\frac12\text{ hour}", "30 min"], ["30 h", r"30\text{ s}"]),
    (r"12\pi \text{ cm}^2", [r"12\pi \text{ sq. cm}"], [r"12\pi\text{ cm}"]),
    (r"\text{5 hours}", ["5", "5 h", r"300\text{ minutes}"], ["6 hours", "5 minutes"]),
]
CALENDAR: list[Group] = [
    ("March 15", [r"\text{March 15}", "March 15th", r"15 \text{ March}", r"\text{15th of March}"], ["May 15", "15"]),
    ("May 5, 2020", ["5 May 2020", "May 5th, 2020"], ["May 5, 2021", "May 6, 2020"]),
    (r"10:30\text{ p.m.}", ["22:30", "10:30", r"\text{10:30 PM}"], ["10:30 a.m.", "21:30", "12:30"]),
    ("3:4", [r"3\text{:}4", "The ratio is 3:4"], ["4:3", "The ratio is 4:3"]),
]
BASES: list[Group] = [
    ("1011_2", [r"1011_{(2)}", "(1011)_2", r"1011\text{ (base 2)}", r"1011\text{ base }2"], ["1011", "(1011)_3", "11"]),
    ("2A_{16}", [r"2\text{A}_{16}", r"\text{2A}_{16}", "(2A)_{16}"], ["2B_{16}", "2A", "A2_{16}"]),
    (
        r"\binom{n}{2}",
        [r"{n \choose 2}", "C(n,2)", "C_n^2", "{}_nC_2", r"\frac{n!}{2!(n-2)!}"],
        ["C(2,n)", r"\binom{n}{3}"],
    ),
    (r"\binom{n}{3}", [r"\frac{n(n-1)(n-2)}{6}"], [r"\frac{n^3}{6}"]),
    (r"\varphi(n)", [r"\phi(n)", "phi(n)"], [r"\psi(n)"]),
    (
        r"\sum_{k=0}^{n}\binom{n}{k}2^k",
        [r"\sum_{i=0}^{n}\binom{n}{i}2^i", r"\sum_{j=0}^n \binom nj 2^j"],
        [r"\sum_{i=1}^{n}\binom{n}{i}2^i"],
    ),
]
SETS: list[Group] = [
    (r"\text{no solution}", [r"\emptyset", r"\text{No real solutions}", r"\text{none}", r"\{\,\}"], ["0", r"\{0\}"]),
    (r"\emptyset", [r"\text{the empty set}", r"\text{no solution}"], [r"\{\emptyset\}", r"\text{no}"]),
    (r"\text{Does not exist}", ["DNE"], ["0", r"\infty", r"\text{exists}"]),
    (r"\infty", [r"\text{infinity}"], [r"-\infty"]),
    (r"x\in[1,3)", ["[1, 3["], ["]1,3]", "[1,3]"]),
    (r"(-\infty,2)\cup(5,\infty)", [r"]-\infty,2[\cup]5,\infty["], [r"]-\infty,2]\cup[5,\infty["]),
    (r"\{x \mid x > 2\}", ["x>2", r"\{y : y>2\}"], [r"\{2\}", r"x\ge 2"]),
    (r"x \neq 2", [r"x\in\mathbb{R}, x\ne 2", r"\mathbb{R}-\{2\}", r"\text{all real numbers except } 2"], ["x=2"]),
    (r"\mathbb{R}", [r"\mathbb R", r"\text{all real numbers}"], [r"\mathbb{Q}"]),
    (r"x = 0 \text{ or } x = -2", [r"x=0 \lor x=-2", r"x = 0 \vee x = -2"], [r"x=0\land x=-2", "x=0"]),
    (r"1\pm\sqrt{2}", [r"\frac{2\pm\sqrt{8}}{2}"], [r"\frac{2\pm\sqrt{8}}{4}", r"1+\sqrt2"]),
    (r"(\pm 1, 2)", ["(1,2), (-1,2)", r"\{(1,2),(-1,2)\}"], ["(1,2)", r"(1,\pm 2)"]),
    ("A, C", [r"\text{A and C}", r"\text{(A) and (C)}"], ["A", r"\text{A and B}", "A,B,C"]),
]
VECTORS: list[Group] = [
    (
        r"\begin{pmatrix}1\\2\\3\end{pmatrix}",
        ["(1,2,3)", "(1,2,3)^T", r"\begin{pmatrix}1&2&3\end{pmatrix}^T", r"\langle 1,2,3\rangle"],
        ["(3,2,1)", r"\begin{pmatrix}1&2&3\end{pmatrix}", r"\{1,2,3\}"],
    ),
    (
        r"\begin{pmatrix}1\\2\end{pmatrix}",
        [r"\begin{pmatrix}1\\[2pt]2\end{pmatrix}"],
        [r"\begin{pmatrix}2\\1\end{pmatrix}"],
    ),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", [r"\vec{v}=\begin{pmatrix}1\\2\end{pmatrix}"], ["2", r"\binom12"]),
    (
        r"\begin{pmatrix}1&0\\0&1\end{pmatrix}",
        ["[[1,0],[0,1]]", r"\left(\begin{smallmatrix}1&0\\0&1\end{smallmatrix}\right)"],
        ["[[0,1],[1,0]]", "1"],
    ),
    ("(3, -1)", ["P(3,-1)", r"\begin{pmatrix}3\\-1\end{pmatrix}", r"\{(3,-1)\}"], ["P(-1,3)", "f(3,-1)", r"\{3,-1\}"]),
    (
        "x=1, y=2",
        [r"\left\{\begin{array}{l}x=1\\y=2\end{array}\right.", r"x=1\text{, and } y=2"],
        [r"\left\{\begin{array}{l}x=2\\y=1\end{array}\right."],
    ),
    (
        "f(x)=x^2",
        [r"f(x)=x^{2}\text{ for all }x", r"f(x)=x^2 \quad \forall x \in \mathbb{R}"],
        [r"f(x)=x\text{ for all }x"],
    ),
    (r"\ln|x|+C", [r"\ln |x| + \text{C}", r"\ln|x|+C\text{, where }C\text{ is a constant}"], [r"\ln|x|"]),
    (r"\angle ABC = 60^\circ", [r"60^\circ", r"\angle CBA = 60^\circ", r"m\angle ABC=60"], [r"\angle BCA=60^\circ"]),
    (
        "C",
        [r"\text{Option C}", r"\text{Choice (C)}", r"\text{Answer: C}"],
        [r"\text{Option B}", r"\text{Option C or D}"],
    ),
]
TABLES = {
    "scales": SCALES,
    "units": UNITS,
    "calendar": CALENDAR,
    "bases": BASES,
    "sets": SETS,
    "vectors": VECTORS,
}


def judge(completion: str, gold: str, prompt: str = "q") -> Verdict:
    said = ({"role": "assistant", "content": completion},)
    return asyncio.run(Math().verify(Case(Trajectory(Task(prompt, gold), messages={"policy": said}))))


@pytest.mark.parametrize("name", TABLES)
def test_what_is_right_is_paid_and_what_looks_alike_is_not(name: str) -> None:
    boxes = [(gold, answer, right) for gold, same, other in TABLES[name] for right in (True, False)
             for answer in (same if right else other)]  # fmt: skip
    verdicts = [judge(rf"So it is $\boxed{{{answer}}}$.", gold) for gold, answer, _ in boxes]
    assert [box for box, verdict in zip(boxes, verdicts, strict=True) if verdict.score != float(box[2])] == []


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("The answer is not 12.", "12", False),
        ("The answer isn't 12", "12", False),
        ("12 is too small.", "12", False),
        ("The answer is anything but 12", "12", False),
        ("So it is not $12$ but $11$.", "12", False),
        ("It is not $11$ but $12$.", "12", True),
        ("So we have 12, not 11.", "12", True),
        ("The answer is 3? or 4?", "3", False),
        ("<answer>4</answer> or <answer>5</answer>", "5", False),
        ("<answer>The answer is x^2+1</answer>", "x^2+1", True),
        ("The correct answer is option C.", "C", True),
    ],
)
def test_a_value_that_the_text_denies_or_doubts_is_no_answer(text: str, gold: str, right: bool) -> None:
    assert judge(text, gold).score == float(right)


def test_what_the_question_asks_for_is_a_name_of_the_value() -> None:
    asked = "Find $m+n$ if $a+b=30$ and m is prime."
    assert judge(r"\boxed{m+n = 14+16 = 30}", "30", asked).passed
    assert judge(r"\boxed{m+n = 31}", "30", asked).score == 0
    assert judge(r"\boxed{a+b = 30}", "30", asked).score == 0
