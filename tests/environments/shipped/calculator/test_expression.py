"""The calculator's parser: exact, bounded, and never anything but a number or its own refusal."""

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.shipped.calculator.expression import MAX_LENGTH, NotAnExpression, evaluate, write

NUMBERS = st.integers(0, 999).map(str)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*", " / "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-({})".format),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("384*27-60", "10308"),
        ("2+3*4", "14"),
        ("(2+3)*4", "20"),
        ("10-4-3", "3"),
        ("-2*-3", "6"),
        ("8/2/2", "2"),
        ("7/2", "3.5"),
        ("-1/8", "-0.125"),
        ("1/3", "1/3"),
        (" 1.50 + .5 ".replace(" .5", " 0.5"), "2"),
        ("9" * 30 + "*" + "9" * 30, str((10**30 - 1) ** 2)),
    ],
)
def test_values_are_exact(text: str, value: str) -> None:
    assert write(evaluate(text)) == value


@given(EXPRESSIONS)
def test_it_agrees_with_python_where_python_is_exact(text: str) -> None:
    exact = "".join(f"Fraction({part})" if part.isdigit() else part for part in _split(text))
    try:
        expected = eval(exact, {"Fraction": Fraction})  # our own text, not a model's
    except ZeroDivisionError:
        expected = None
    if len(text) > MAX_LENGTH or expected is None:
        with pytest.raises(NotAnExpression):
            evaluate(text)
    else:
        assert evaluate(text) == expected


def _split(text: str) -> list[str]:
    parts: list[str] = []
    for char in text:
        if char.isdigit() and parts and parts[-1].isdigit():
            parts[-1] += char
        else:
            parts.append(char)
    return parts


@given(st.text(alphabet=st.sampled_from("0123456789+-*/(). e_x²٣\n"), max_size=60) | st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(NotAnExpression):
        assert isinstance(write(evaluate(text)), str)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " ",
            "2**9",
            "9**9**9",
            "1e9",
            "1_0",
            "²",
            "٣",
            "2 3",
            "(2",
            "2)",
            "1/0",
            "1/(2-2)",
            "1.",
            "1.2.3",
            "+",
            "5+",
        ],
        *["__import__('os')", "x", "(" * 100 + "1" + ")" * 99, "-" * 100 + "1", "1+" * 50_000 + "1", "(" * 100_000],
    ],
)
def test_what_is_no_expression_or_too_much_of_one_is_refused_at_once(text: str) -> None:
    start = time.thread_time()
    with pytest.raises(NotAnExpression):
        evaluate(text)
    assert time.thread_time() - start < 1.0
