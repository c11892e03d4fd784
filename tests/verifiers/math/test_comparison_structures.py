"""Answers with structure: solutions and tuples, intervals and inequalities, bound variables, and equal domains."""

import asyncio

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

Row = tuple[str, str, str]
"""The expected answer, the same in another notation, and another answer that looks alike."""

SOLUTIONS: list[Row] = [
    ("x=1,y=2", "(1,2)", "(2,1)"),
    ("(1,2)", "x=1, y=2", "x=2, y=1"),
    ("x=1,y=2", "(x,y)=(1,2)", "(x,y)=(2,1)"),
    ("(x,y)=(1,2)", "y=2, x=1", "y=1, x=2"),
    ("(1,2),(3,4)", r"x=1,y=2 \text{ or } x=3,y=4", r"x=1,y=4 \text{ or } x=3,y=2"),
    (r"x=1,y=2 \text{ or } x=3,y=4", "(3,4),(1,2)", "(4,3),(1,2)"),
    ("x=1,y=2,x=3,y=4", "(1,2),(3,4)", "(1,2),(4,3)"),
    ("(1,2),(3,4)", r"(x,y)=(1,2)\text{ or }(x,y)=(3,4)", r"(x,y)=(1,2)\text{ or }(x,y)=(3,5)"),
    ("x=1,y=2; x=3,y=4", "(1,2),(3,4)", "(1,2)"),
    ("p=5,q=2; p=7,q=2", r"p = 5, q = 2 \quad \text{or} \quad p = 7, q = 2", r"p=5,q=7; p=7,q=2"),
    ("a=1,b=2,c=3", "(1,2,3)", "(1,3,2)"),
    (r"x=\frac12, y=-1", r"(\tfrac12,-1)", r"(-\tfrac12,1)"),
    ("(1,2)", r"x=1 \text{ and } y=2", r"x=1 \text{ and } y=3"),
    (r"\begin{cases}x=1\\y=2\end{cases}", "(1,2)", "(2,1)"),
    ("(x,y)=(1,2),(3,4)", "(3,4),(1,2)", "(4,3),(1,2)"),
    ("k=45, n=2", "n=2, k=45", "n=45, k=2"),
]
VALUES: list[Row] = [
    (r"a=1 \text{ or } a=-2", r"a \in \{1,-2\}", r"a \in \{1,2\}"),
    (r"a \in \{1,-2\}", r"a=-2 \text{ or } a=1", "a=1"),
    ("x_1=1, x_2=2", r"x \in \{1,2\}", r"x \in \{1,3\}"),
    (r"\{1,2\}", r"x\in\{1,2\}", r"x\in[1,2]"),
    ("1,2", r"x\in\{2,1\}", r"x\in\{1\}"),
    ("x=2, x=3", r"x=3 \text{ or } x=2", r"x=3 \text{ or } x=1"),
    ("2,-2", r"x=\pm 2", "x=2"),
    (r"x=\pm 2", r"x\in\{-2,2\}", r"x\in\{2\}"),
    (r"x = 1\pm\sqrt{2}", r"x=1+\sqrt2, x=1-\sqrt2", r"x=1+\sqrt2, x=1-\sqrt3"),
    (r"\pm i", "i, -i", "i"),
    (r"3\pm 2i", "3+2i, 3-2i", "3+2i"),
    (r"x_{1}=1,x_{2}=4", "4,1", "4,2"),
    (r"\pm\frac12", r"\frac12, -\frac12", r"\frac12"),
    (r"n\in\{1,2,3\}", r"n = 1, 2 \text{ or } 3", "n=1,2"),
    (r"x=1\text{ or }x=-2", "x=1, x=-2", "(1,-2)"),
    (r"S=\{1,2\}", r"\{2,1\}", r"\{1,3\}"),
    ("a_1=3,a_2=5", "a_2=5, a_1=3", "a_1=5, a_2=3"),
    ("x=1,2,3", r"\{1,2,3\}", r"\{1,2\}"),
]
SETS: list[Row] = [
    (r"x\in(0,1)", "0<x<1", r"0<x\le 1"),
    ("0<x<1", r"x\in(0,1)", r"x\in[0,1)"),
    (r"x\ge 2", r"[2,\infty)", r"(2,\infty)"),
    (r"x\ge 2", r"2\le x", r"2\ge x"),
    (r"x<-1\text{ or }x>1", r"(-\infty,-1)\cup(1,\infty)", r"(-\infty,-1]\cup(1,\infty)"),
    (r"x<-1\text{ or }x>1", r"x>1\text{ or }x<-1", r"x>1\text{ or }x<1"),
    (r"x\in(-\infty,-1)\cup(1,\infty)", r"x<-1 \text{ or } x>1", r"x<-1 \text{ or } x\ge 1"),
    (r"x>3\text{ and }x<5", "(3,5)", "[3,5)"),
    (r"1<x\le 3", r"x>1 \text{ and } x\le 3", r"x>1 \text{ and } x< 3"),
    (r"x\ne 2", r"\mathbb{R}\setminus\{2\}", r"\mathbb{R}\setminus\{3\}"),
    (r"x\ne 2", r"2\ne x", r"x\ne -2"),
    (r"\mathbb{R}\setminus\{0,1\}", r"(-\infty,0)\cup(0,1)\cup(1,\infty)", r"(-\infty,0)\cup(0,1)"),
    (r"t\in[0,2\pi)", r"0\le t<2\pi", r"0\le t\le 2\pi"),
    (r"\left[\frac12,\infty\right)", r"[0.5,+\infty)", r"(0.5,+\infty)"),
    (r"0<f(x)<1", "(0,1)", "[0,1]"),
    (r"x\in\mathbb{R}", r"(-\infty,\infty)", r"(0,\infty)"),
    (r"\{x\mid x>0\}", r"\{t : t>0\}", r"\{t : t\ge 0\}"),
    (r"\{x\in\mathbb{R}\mid x\ne 1\}", r"(-\infty,1)\cup(1,\infty)", r"(-\infty,1)\cup(2,\infty)"),
    (r"(-\infty,2)\cup(3,\infty)", "(-inf,2)U(3,inf)", "(-inf,2)U(4,inf)"),
    ("a<5", r"(-\infty,5)", r"(5,\infty)"),
    ("-1<x<1", "-1<x<1", "-1<y<1"),
]
BOUND: list[Row] = [
    (
        r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}",
        r"F_n = \sum_{j=0}^{n-1} F_j F_{n-1-j}",
        r"F_n = \sum_{j=0}^{n-1} F_j F_{n-j}",
    ),
    (r"\int_0^1 f(x) dx", r"\int_0^1 f(t) dt", r"\int_0^2 f(t) dt"),
    (r"\sum_{k=1}^{n} a_k", r"\sum_{i=1}^{n} a_i", r"\sum_{i=1}^{n} a_n"),
    (r"\prod_{i=1}^n x_i", r"\prod_{j=1}^{n} x_j", r"\prod_{j=1}^{m} x_j"),
    (r"\sum_{k=1}^{n} k a_k", r"\sum_{m=1}^{n} a_m m", r"\sum_{m=1}^{n} a_m n"),
    (r"a_{n+1}=2a_n", "a_{1+n} = 2a_n", "a_{n-1} = 2a_n"),
    (r"\int_a^b g(x)\,dx", r"\int_a^b g(u)\,du", r"\int_b^a g(u)\,du"),
    (r"\lim_{x\to 0} f(x)", r"\lim_{h\to 0} f(h)", r"\lim_{h\to 1} f(h)"),
    (r"\sum_{i=1}^{n} x_i^2", r"\sum_{j=1}^{n} x_j^2", r"\sum_{j=1}^{n} x_j"),
    (r"2\sum_{k=1}^{n} a_k", r"2\sum_{i=1}^{n} a_i", r"\sum_{i=1}^{n} a_i"),
    (r"\sum_{k=0}^{\infty} a_k", r"\sum_{n=0}^{\infty} a_n", r"\sum_{n=1}^{\infty} a_n"),
    (r"\int_{-\infty}^{\infty} f(x)\,dx", r"\int_{-\infty}^\infty f(u) du", r"\int_0^\infty f(u) du"),
    (r"\sum_{k=1}^{n} k a_n", r"\sum_{j=1}^{n} j a_n", r"\sum_{n=1}^{n} n a_n"),
    ("f(x)=x+a", "f(t)=a+t", "f(a)=a+x"),
    ("f(x)=x^2+1", "f(t)=t^2+1", "f(t)=t^2-1"),
    (
        r"x=\frac{\pi}{6}+2k\pi, k\in\mathbb{Z}",
        r"x=\frac{\pi}{6}+2n\pi, n \in \mathbb{Z}",
        r"x=\frac{\pi}{6}+n\pi, n \in \mathbb{Z}",
    ),
    (r"\frac{\pi}{4}+k\pi", r"\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"\frac{\pi}{4}+2k\pi, k\in\mathbb{Z}"),
    (r"x_{i+j}", "x_{j+i}", "x_{i-j}"),
]
DOMAINS: list[Row] = [
    (r"\sqrt{\frac{2}{n}}", r"\frac{\sqrt{2}}{\sqrt{n}}", r"\frac{2}{\sqrt{n}}"),
    (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}", r"\sqrt{n}"),
    (r"\sqrt{\frac{3}{4a}}", r"\frac{\sqrt{3}}{2\sqrt{a}}", r"\frac{\sqrt{3}}{4\sqrt{a}}"),
    (r"\frac{\sqrt{n}}{n}", r"\sqrt{1/n}", r"\sqrt{n}/2"),
    (r"\frac{1}{\sqrt{n}}", r"\left(\frac1n\right)^{1/2}", r"\left(\frac1n\right)^{2}"),
    (r"\ln(n^2)", r"2\ln n", r"(\ln n)^2"),
    (r"\ln\frac{a}{b}", r"\ln a - \ln b", r"\ln a/\ln b"),
    (r"\sqrt{\frac{l}{g}}", r"\frac{\sqrt{lg}}{g}", r"\frac{\sqrt{lg}}{l}"),
    (r"\sqrt{\frac{a}{b}}", r"\frac{\sqrt{a}}{\sqrt{b}}", r"\frac{\sqrt{b}}{\sqrt{a}}"),
    (r"\ln(ab)", r"\ln a+\ln b", r"\ln a\ln b"),
    (r"\ln(x^2+2x+1)", r"2\ln(x+1)", r"2\ln(x-1)"),
    (r"\sqrt{ab}", r"\sqrt{a}\sqrt{b}", r"\sqrt{a}+\sqrt{b}"),
    (r"\ln\sqrt{x}", r"\frac12\ln x", r"2\ln x"),
    (r"\sqrt{x^2}", "|x|", "x"),
    (r"\sqrt[3]{\frac{x}{8}}", r"\frac{\sqrt[3]{x}}{2}", r"\frac{\sqrt[3]{x}}{8}"),
    (r"\ln|x|+C", r"\ln x + C", r"\ln x - 1"),
    (r"\sqrt[3]{x^3}", "x", "x^3"),
    ("x^{3/2}", r"x\sqrt{x}", r"x^2\sqrt{x}"),
    (r"\sqrt{\frac{2h}{g}}", r"\frac{\sqrt{2gh}}{g}", r"\frac{\sqrt{2gh}}{h}"),
    (r"\ln|x|", r"\ln|x|", r"\ln|x+1|"),
    (r"2\sqrt{\frac{x}{y}}", r"\sqrt{\frac{4x}{y}}", r"\sqrt{\frac{2x}{y}}"),
    (r"\sqrt{a^2b^2}", "|ab|", "ab"),
    (r"2\pi\sqrt{\frac{m}{k}}", r"\frac{2\pi\sqrt{mk}}{k}", r"\frac{2\pi\sqrt{mk}}{m}"),
]
TABLES = {"solutions": SOLUTIONS, "values": VALUES, "sets": SETS, "bound": BOUND, "domains": DOMAINS}


def judge(answer: str, gold: str) -> Verdict:
    said = ({"role": "assistant", "content": rf"So the answer is $\boxed{{{answer}}}$."},)
    return asyncio.run(Math().verify(Case(Trajectory(Task("q", gold), messages={"policy": said}))))


@pytest.mark.parametrize("name", TABLES)
def test_the_same_structure_in_another_notation_is_right_and_another_one_wrong(name: str) -> None:
    refused = [(gold, same) for gold, same, _ in TABLES[name] if not judge(same, gold).passed]
    paid = [(gold, other) for gold, _, other in TABLES[name] if judge(other, gold).score != 0]
    assert refused == []
    assert paid == []
