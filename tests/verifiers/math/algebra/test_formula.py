"""Formulas read and compared without a worker: what is decided is what 60 digits say too."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lachesis.verifiers.math.algebra.identity import FormulaCache
from lachesis.verifiers.math.notation.plain import to_plain


def same(gold: str, answer: str) -> bool | None:
    return FormulaCache().equal(to_plain(gold), to_plain(answer))


EQUAL = [
    (r"2\sqrt{3}", r"\sqrt{12}"),
    (r"\sqrt[3]{-8}", "-2"),
    (r"\sqrt{-4}", "2i"),
    (r"\frac{1+i}{1-i}", "i"),
    (r"\frac{1}{1+\sqrt2}", r"\sqrt2-1"),
    (r"\sqrt[3]{4}\sqrt2", r"2^{\frac{7}{6}}"),
    (r"e^{i\pi}", "-1"),
    (r"e^{\frac{i\pi}{3}}", r"\frac{1+i\sqrt3}{2}"),
    ("y=2x+1", "2x-y+1=0"),
    ("x^2=4", "2(x-2)(x+2)=0"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\sqrt{x^2+1}", r"\sqrt{1+x^2}"),
    (r"\sqrt{x}\sqrt{x}", "x"),
    (r"\sin 2x", r"2\sin x\cos x"),
    (r"\sin(a+b)-\sin(a-b)", r"2 \sin b \cos a"),
    (r"\sin(3x)", r"3\sin x-4\sin^3 x"),
    (r"\tan^2(y)+1", r"\sec^2(y)"),
    (r"\cos(x+\pi)", r"-\cos x"),
    (r"\sin\theta", r"\cos(\frac{\pi}{2}-\theta)"),
    (r"\cos 60^\circ", "0.5"),
    (r"\ln 12", r"2\ln 2+\ln 3"),
    (r"\log_2 8", "3"),
    (r"\log_2 3", r"\frac{\ln 3}{\ln 2}"),
    ("2^{n+1}", r"2\cdot 2^n"),
    ("4^n", "2^{2n}"),
    ("x^{n+1}", r"x\cdot x^n"),
    ("e^{x+y}", "e^x e^y"),
    (r"e^{2\ln x}", "x^2"),
    (r"e^{x\ln 2}", "2^x"),
    (r"\binom{5}{2}", "10"),
    (r"\frac{5!}{3!}", "20"),
    ("x_{1}+x_2", "x_2+x_1"),
    ("|x-3|+2", "2+|x-3|"),
    ("|-3|", "3"),
    (r"\arctan\frac{3}{7}", r"\arctan\frac{6}{14}"),
]
UNEQUAL = [
    ("x'", "x"),
    ("x", "X"),
    ("x_1", "x_2"),
    (r"\sqrt2", "1.41421356237309504880168872420969807856967187537694"),
    (r"\sqrt2+\sqrt3", r"\sqrt5"),
    ("e", "2.718281828459045"),
    (r"\sin 2x", r"2\sin x"),
    (r"\cos x", r"\cos y"),
    (r"e^{ix}", r"\cos x-i\sin x"),
    ("2^n", "n^2"),
    (r"\ln 12", r"\ln 13"),
    (r"10^{-40}", "0"),
    ("(x+1)^2", "x^2+1"),
    ("xy", "x+y"),
    ("|x-3|+2", "|x-3|+3"),
]
LEFT_TO_OTHERS = [
    ("1/2x", "x/2"),
    ("2{3}", "6"),
    ("3 4", "12"),
    (r"3\frac12 x", r"\frac32 x"),
    ("f(x+1)", "f x+f"),
    (r"\frac{dy}{dx}", r"\frac yx"),
    ("3=4", "5=6"),
    (r"\sqrt{x^2}", "x"),
    (r"\ln x^2", r"2\ln x"),
    (r"\ln(x^2+2x+1)", r"2\ln(x+1)"),
    (r"\ln 2x", r"x\ln 2"),
    (r"\sin x^2", r"\sin^2 x"),
    (r"\sin x/2", r"\frac{\sin x}{2}"),
    (r"\sin 2\cdot x", r"x\sin 2"),
    (r"\sin^{-1}x", r"\frac{1}{\sin x}"),
    (r"\log 100", "2"),
    ("9^{9^{9^9}}", "1"),
    ("(-1)^{2n}", "1"),
    ("0^0", "1"),
    (r"\frac{x}{0}", "x"),
    (r"0\cdot\ln(0)", "0"),
    (r"\tan\frac{\pi}{2}", "1"),
    ("none", "enno"),
    ("|x-3|", "|3-x|"),
    ("|x|y|z|", "xyz"),
    (r"\arctan 1", r"\frac{\pi}{4}"),
]


@pytest.mark.parametrize(("pairs", "verdict"), [(EQUAL, True), (UNEQUAL, False), (LEFT_TO_OTHERS, None)])
def test_what_is_sure_is_decided_and_the_rest_is_not(pairs: list[tuple[str, str]], verdict: bool | None) -> None:
    assert [pair for pair in pairs if same(*pair) is not verdict] == []
    assert [pair for pair in pairs if same(*reversed(pair)) is not verdict] == []


@dataclass
class Made:
    """A formula as LaTeX, and its value at a point."""

    text: str
    value: Callable[[dict[str, Any]], Any]


def leaves() -> st.SearchStrategy[Made]:
    numbers = st.integers(1, 9).map(lambda n: Made(str(n), lambda _: mpmath.mpf(n)))
    names = st.sampled_from("xyn").map(lambda name: Made(name, lambda point: point[name]))
    constants = st.sampled_from(
        [
            Made(r"\pi", lambda _: mpmath.pi),
            Made("e", lambda _: mpmath.e),
            Made("i", lambda _: mpmath.mpc(0, 1)),
            Made(r"\sqrt{2}", lambda _: mpmath.sqrt(2)),
            Made(r"\sqrt[3]{6}", lambda _: mpmath.root(6, 3)),
        ]
    )
    return st.one_of(numbers, names, constants)


FUNCTIONS: list[tuple[str, Callable[[Any], Any]]] = [
    (r"\sin(#)", mpmath.sin),
    (r"\cos(#)", mpmath.cos),
    (r"\tan(#)", mpmath.tan),
    (r"\ln(#)", mpmath.log),
    (r"\sqrt{#}", mpmath.sqrt),
    ("e^{#}", mpmath.exp),
    ("2^{#}", lambda value: mpmath.power(2, value)),
    ("(#)^2", lambda value: value**2),
    ("(#)^{-1}", lambda value: 1 / value),
    ("-(#)", lambda value: -value),
]


def larger(parts: st.SearchStrategy[Made]) -> st.SearchStrategy[Made]:
    operations: list[tuple[str, Callable[[Any, Any], Any]]] = [
        (r"(#)+(@)", lambda a, b: a + b),
        (r"(#)-(@)", lambda a, b: a - b),
        (r"(#)\cdot (@)", lambda a, b: a * b),
        (r"\frac{#}{@}", lambda a, b: a / b),
        (r"(#)/(@)", lambda a, b: a / b),
    ]
    two = st.tuples(st.sampled_from(operations), parts, parts).map(
        lambda made: Made(
            made[0][0].replace("#", made[1].text).replace("@", made[2].text),
            lambda point: made[0][1](made[1].value(point), made[2].value(point)),
        )
    )
    one = st.tuples(st.sampled_from(FUNCTIONS), parts).map(
        lambda made: Made(made[0][0].replace("#", made[1].text), lambda point: made[0][1](made[1].value(point)))
    )
    return st.one_of(two, one)


FORMULAS = st.recursive(leaves(), larger, max_leaves=6)
POINTS = [{"x": "0.73", "y": "1.91", "n": "2.37"}, {"x": "2.11", "y": "0.37", "n": "0.59"}]


def differ(left: Made, right: Made) -> bool | None:
    """Whether they differ at a point, None where one of them has no value."""
    with mpmath.workdps(60):
        try:
            for point in POINTS:
                at = {name: mpmath.mpf(value) for name, value in point.items()}
                one, other = left.value(at), right.value(at)
                if not (mpmath.isfinite(one) and mpmath.isfinite(other)):
                    return None
                if abs(one - other) > mpmath.mpf(10) ** -30 * (1 + abs(one)):
                    return True
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
    return False


@settings(max_examples=400, deadline=None)
@given(FORMULAS, FORMULAS)
def test_no_two_formulas_are_said_to_be_alike_or_different_that_are_not(left: Made, right: Made) -> None:
    difference = differ(left, right)
    verdict = same(left.text, right.text)
    if verdict is not None and difference is not None:
        assert verdict is not difference
    twin = Made(rf"\frac{{({left.text})({right.text}+{left.text})}}{{{left.text}}}", left.value)
    if same(left.text, f"({left.text})+0") is False:
        pytest.fail(left.text)
    if same(twin.text, f"({right.text})+({left.text})") is False and differ(left, Made("0", lambda _: mpmath.mpf(0))):
        pytest.fail(twin.text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=r"0123456789xyei+-*/^_.!()[]{}\ '=", max_size=80), st.text(max_size=30))
def test_no_text_makes_the_reader_raise(text: str, other: str) -> None:
    same(text, other)
    FormulaCache().equal(text, text + "+0")


@pytest.mark.parametrize(
    "text",
    [
        "(x+y+z+w)^{99}",
        "(" + "+".join(rf"\sqrt{{{n}}}" for n in range(2, 40)) + ")^{99}",
        "((((((x+y)^{9})^{9})^{9})^{9})^{9})^{9}",
        "2^{" * 40 + "1" + "}" * 40,
        "9" * 399,
        r"\sqrt{" + "9" * 390 + "}",
        "150!^{99}",
        r"\sin(" * 40 + "x" + ")" * 40,
        r"e^{" * 40 + "x" + "}" * 40,
        r"\cos(x+y+z)" * 30,
        "(x+1)" * 70,
        r"\ln(" + "x+" * 150 + "1)",
    ],
)
def test_one_budget_bounds_all_that_a_comparison_takes(text: str) -> None:
    formulas, start = FormulaCache(), time.process_time()
    for n in range(50):
        formulas.equal(f"{text}+{n}", f"{n}-({text})")
    assert time.process_time() - start < 4
