"""Answers in the notations that people and models use: each is right beside its LaTeX, and wrong beside another one."""

import asyncio

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

Row = tuple[str, str, str]
"""The expected answer, the same in another notation, and another answer that looks alike."""

UPRIGHT: list[Row] = [
    (r"x\mathrm{e}^{x}", "xe^x", "xe^{-x}"),
    (r"\operatorname{e}^x", "e^x", "e^{2x}"),
    (r"\mathrm{e}^{\mathrm{i}\pi/4}", r"e^{i\pi/4}", r"e^{-i\pi/4}"),
    ("2+3i", r"2+3\mathrm{i}", r"3+2\mathrm{i}"),
    ("e-1", r"\rm{e}-1", r"1-\rm{e}"),
    ("e-1", r"{\rm e}-1", r"{\rm e}+1"),
    (r"1 - \frac{1}{\mathrm{e}}", r"1-\frac1e", r"1+\frac1e"),
    (r"\ln \mathrm{e}^2", "2", "e"),
    (r"\text{e}^2", "e^2", "e^3"),
    (r"\mathrm{i}", "i", "-i"),
    ("3i-1", r"-1+3\text{i}", r"-1-3\text{i}"),
    (r"\frac{\mathrm{e}}{2}", "e/2", "2/e"),
    (r"\frac{e^2+1}{2}", r"\frac{\mathrm{e}^{2}+1}{2}", r"\frac{\mathrm{e}^{2}-1}{2}"),
    (r"\mathrm{e}^{-\mathrm{i}\theta}", r"\cos\theta-i\sin\theta", r"\cos\theta+i\sin\theta"),
    (r"\operatorname{sin}(x)", r"\sin x", r"\cos x"),
    (r"\mathrm{ln}(3)", r"\ln 3", r"\ln 2"),
]
NAMES: list[Row] = [
    (r"\lfloor n/2 \rfloor", "floor(n/2)", "ceil(n/2)"),
    (r"\lceil x\rceil", "ceil(x)", "floor(x)"),
    (r"\arctan 2", "atan(2)", "atan(3)"),
    (r"\arcsin\frac13", "asin(1/3)", "acos(1/3)"),
    ("e^{16} - 1", "-1 + exp(16)", "1 + exp(16)"),
    (r"\cos\theta", "cos(θ)", "sin(θ)"),
    (r"\gcd(a,b)", "gcd(a,b)", "lcm(a,b)"),
    (r"\max(a,b)", "max(b, a)", "min(a,b)"),
    (r"\sin(2x)", "2*sin(x)*cos(x)", "sin(x)*cos(x)"),
    ("2*sin(x)*cos(x)", r"\sin(2x)", r"\sin(x)"),
    (r"\ln 2", "ln(2)", "ln(3)"),
    (r"\ln 2", "log(2)", "log(3)"),
    (r"\log 2", "log 2", "log 3"),
    ("3", "log_2(8)", "log_2(9)"),
    ("log(8)/log(2)", "3", "4"),
    ("3", "log2(8)", "log2(4)"),
    (r"O(n \log n)", "O(n log n)", "O(n)"),
    (r"O(n\log n)", "O(n log(n))", "O(log(n))"),
    (r"\Theta(n\log n)", "Θ(n log n)", "O(n log n)"),
    (r"O(n^2)", r"\mathcal{O}(n^2)", r"\mathcal{O}(n)"),
    (r"\tan\theta", "tan(theta)", "tan(phi)"),
    (r"\alpha+1", "alpha+1", "beta+1"),
    (r"e^{-x}\sin x", "exp(-x)*sin(x)", "exp(x)*sin(x)"),
    (r"\sqrt{x^2+1}", "sqrt(x^2+1)", "sqrt(x^2-1)"),
    (r"\frac{\sqrt{1+\sqrt{2}}}{2}", "sqrt(1+sqrt(2))/2", "sqrt(1+sqrt(3))/2"),
    (r"2\pi", "2*pi", "3*pi"),
    (r"\frac{\pi^2}{6}", "pi^2/6", "pi/6"),
    (r"(1,\infty)", "(1, inf)", "(-inf, 1)"),
    (r"|x-1|", "abs(x-1)", "abs(x+1)"),
    (r"\sinh x", "sinh(x)", "cosh(x)"),
    (r"\sec x", "sec(x)", "csc(x)"),
    (r"\frac{\lambda}{2}", "lambda/2", "2/lambda"),
    (r"\omega^2 r", "omega^2*r", "omega*r^2"),
    (r"x\ln x - x", "x ln(x) - x", "x ln(x) + x"),
    (r"\sin 2x", "2sinxcosx", "sinxcosx"),
    (r"\ln x", "lnx", "lny"),
    (r"O(n\log n)", "O(nlogn)", "O(logn)"),
    (r"\frac{\sqrt3}{2}", "sqrt3/2", "sqrt2/2"),
    (r"\sin^2 x", "sin²x", "sin x"),
    (r"\sec^2 x", "sec^2(x)", "sec(x)"),
    (r"\max\{0,x\}", "max(x,0)", "min(x,0)"),
    (r"\log_{10} 5", "log10(5)", "log10(6)"),
]
POWERS: list[Row] = [
    ("2^{-n}", "2^-n", "2^n"),
    ("0.001", "10^-3", "10^-2"),
    ("e^{-x}", "e^-x", "e^x"),
    (r"\frac1x", "x^-1", "x^-2"),
    (r"\frac{1}{8}", "2^-3", "2^3"),
    ("10^{12}", "10^12", "10^{13}"),
    ("x^{10}", "x^10", "x^11"),
    ("2^{n+1}", "2^(n+1)", "2^(n-1)"),
    ("e^{-2x}", "e^(-2x)", "e^(2x)"),
    ("x^{1/3}", "x^(1/3)", "x^(2/3)"),
    ("8", "2**3", "2**4"),
    ("3x^2", "3*x**2", "3*x*2"),
    ("2", "∛8", "∛9"),
    (r"\sqrt[3]{2}", "2^(1/3)", "2^(1/2)"),
    (r"\sqrt[3]{4}", "∛4", "√4"),
    (r"2\sqrt[3]{5}", "2∛5", "2√5"),
    (r"\sqrt{a+b}", "√(a+b)", "√(a-b)"),
    (r"\sqrt{1+\sqrt{5}}", "√(1+√5)", "√(1-√5)"),
    ("x^{-1}", "x⁻¹", "x¹"),
    ("-5", "‐5", "5"),
    ("3-2", "1", "5"),
    ("x^2-1", "x²−1", "x²+1"),
    (r"6.02\times 10^{23}", "6.02*10^23", "6.02*10^22"),
    (r"1.5\times10^{-4}", "1.5e-4", "1.5e4"),
    (r"1.5\times10^{-4}", "1.5*10^-4", "1.5*10^-5"),
    (r"\frac{a}{b+c}", "a/(b+c)", "a/b+c"),
    (r"\frac{1}{x}", r"\frac1x", r"\frac1y"),
    (r"\frac{3}{x}", r"\frac3x", r"\frac{x}{3}"),
    (r"\frac{\pi}{2}", r"\frac\pi2", r"\frac\pi3"),
    (r"\binom{n}{2}", r"\binom n2", r"\binom n3"),
    ("a_{12}", "a_12", "a_13"),
    ("x_1", "x₁", "x₂"),
]
DECORATIONS: list[Row] = [
    ("13", "`13`", "`31`"),
    ("13", "13;", "31;"),
    ("13", "**13**", "**31**"),
    ("13", "13,", "13,1"),
    ("13", r"\underline{13}", r"\underline{31}"),
    ("13", r"13\\", r"31\\"),
    ("13", r"\color{red}{13}", r"\color{red}{31}"),
    ("13", r"\textcolor{blue}{13}", r"\textcolor{blue}{31}"),
    ("13", r"\color{red} 13", r"\color{red} 31"),
    ("13", r"\bf 13", r"\bf 31"),
    ("13", r"{\bf 13}", r"{\bf 31}"),
    ("13", r"\mathbf{13}", r"\mathbf{31}"),
    ("13", r"\boldsymbol{13}", r"\boldsymbol{31}"),
    ("13", r"\bm{13}.", r"\bm{31}."),
    ("13", r"\displaystyle 13", r"\displaystyle 31"),
    ("13", r"\large{13}", r"\large{31}"),
    ("13", '"13"', '"31"'),
    ("13", r"\underline{\underline{13}}", r"\underline{\underline{31}}"),
    ("13", r"\fbox{13}", r"\fbox{31}"),
    ("13", r"\quad 13 \quad", r"\quad 31 \quad"),
    ("13", r"13\,", r"31\,"),
    ("13", r"\text{Answer: }13", r"\text{Answer: }31"),
    ("13", r"\fcolorbox{red}{white}{13}", r"\fcolorbox{red}{white}{31}"),
    ("13", r"\texttt{13}", r"\texttt{31}"),
    ("13", r"13 \checkmark", r"31 \checkmark"),
    ("13", r"\text{13}", r"\text{31}"),
    ("13", r"$13$", r"$31$"),
    ("13", r"\(13\)", r"\(31\)"),
    ("x+1", r"\mathbf{x+1}", r"\mathbf{x-1}"),
    (r"\frac{1}{2}", r"\boldsymbol{\frac{1}{2}}", r"\boldsymbol{\frac{2}{1}}"),
    (r"2\sqrt{3}", r"\color{blue}{2\sqrt{3}}", r"\color{blue}{3\sqrt{2}}"),
    ("B", r"\textbf{B}.", r"\textbf{C}."),
    ("B", "**B**", "**C**"),
    ("(1,2)", r"\boldsymbol{(1,2)}", r"\boldsymbol{(2,1)}"),
]
NUMBERS: list[Row] = [
    ("0.111", "0,111", "111"),
    ("111", "111", "0,111"),
    ("0.5", "0,5", "5"),
    ("0.25", "0{,}25", "25"),
    ("3.14", "3{,}14", "314"),
    ("12345", "12{,}345", "12.345"),
    ("1234.56", "1.234,56", "1234,56,1"),
    ("1234567", "1,234,567", "1,234,568"),
    ("1234567", r"1\,234\,567", r"1\,234\,568"),
    ("0,5", "0.5", "5"),
    (r"50\%", "50 percent", "51 percent"),
    (r"50\%", "50 per cent", "5 per cent"),
    (r"50\%", r"50\text{ percent}", r"0.5\text{ percent}"),
    (r"12.5\%", r"12.5\text{ per cent}", r"12.5"),
    (r"50\%", "50 pct", "5 pct"),
    ("1,2,3", "1, 2, 3", "1,23"),
    ("-0.125", "-0,125", "0,125"),
    (r"0.\overline{6}", "2/3", "0.6"),
]
RATIOS: list[Row] = [
    (r"12{:}30", "12:30", "12:31"),
    (r"\text{12:30}", "12:30", "1:30"),
    ("3:4", "3 : 4", "4 : 3"),
    ("A:B = 3:4", "3:4", "4:3"),
    ("3:4", "A:B=3:4", "A:B=4:3"),
    ("A:B=3:4", "B:A = 4:3", "B:A = 3:4"),
    ("2:3:5", "4:6:10", "2:3:6"),
    ("3:4", "6:8", "6:9"),
    ("3:4", r"3 \text{ to } 4", r"4 \text{ to } 3"),
    ("3:4", "3 to 4", "4 to 3"),
    ("3:4", "3∶4", "3∶5"),
    ("3:4", r"\frac{3}{4}", r"\frac{4}{3}"),
    ("3/4", "3:4", "4:3"),
    ("1.5:2", "3:4", "3:2"),
    ("9:05", "9:05 am", "9:50"),
    (r"3{:}4", r"3\colon 4", r"4\colon 3"),
    ("AB:BC=2:1", "2:1", "1:2"),
    ("7:15 pm", r"7{:}15 \text{ p.m.}", r"7{:}15 \text{ a.m.}"),
]
RELATIONS: list[Row] = [
    (r"x\ne 2", "x != 2", "x = 2"),
    (r"x\le 2", "x <= 2", "x < 2"),
    (r"x\ge 2", "x >= 2", "x <= 2"),
    (r"1\le x\le 3", "1 <= x <= 3", "1 < x <= 3"),
    (r"x\ne 3", r"x\not=3", "x=3"),
    (r"\frac{1}{2}", r"\\frac{1}{2}", r"\\frac{1}{3}"),
    (r"\sqrt{2}", r"\\sqrt{2}", r"\\sqrt{3}"),
    (r"\{1,2\}", r"\\{1,2\\}", r"\\{1,3\\}"),
    (r"2\pi", r"2\\pi", r"3\\pi"),
    (r"50\%", r"50\\%", r"51\\%"),
    (
        r"\begin{pmatrix}1\\2\end{pmatrix}",
        r"\\begin{pmatrix}1\\\\2\\end{pmatrix}",
        r"\\begin{pmatrix}2\\\\1\\end{pmatrix}",
    ),
    (r"5\text{ cm}", r"5\\text{ cm}", r"5\\text{ mm}"),
    (r"x\ne 2", r"(-\infty,2)\cup(2,\infty)", r"(-\infty,2)\cup(3,\infty)"),
]
TABLES = {
    "upright": UPRIGHT,
    "names": NAMES,
    "powers": POWERS,
    "decorations": DECORATIONS,
    "numbers": NUMBERS,
    "ratios": RATIOS,
    "relations": RELATIONS,
}


def judge(answer: str, gold: str) -> Verdict:
    said = ({"role": "assistant", "content": rf"So the answer is $\boxed{{{answer}}}$."},)
    return asyncio.run(Math().verify(Case(Trajectory(Task("q", gold), messages={"policy": said}))))


@pytest.mark.parametrize("name", TABLES)
def test_a_notation_changes_no_answer_and_hides_no_difference(name: str) -> None:
    refused = [(gold, same) for gold, same, _ in TABLES[name] if not judge(same, gold).passed]
    paid = [(gold, other) for gold, _, other in TABLES[name] if judge(other, gold).score != 0]
    assert refused == []
    assert paid == []
