"""The kinds of answer: what each reads, what it refuses, and that reading is bounded."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.shipped.puzzles import answers
from lachesis.environments.shipped.puzzles.answers import (
    ASSIGNMENT,
    CLOCK,
    DATE,
    FRACTION,
    GRID,
    INTEGER,
    INTEGERS,
    LINE,
    NAMES,
    NUMBERS,
    PAIRS,
    WORD,
    Kind,
)

KINDS = [kind for kind in vars(answers).values() if isinstance(kind, Kind)]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INTEGER, " 12 ", 12),
        (INTEGER, "-1,234", -1234),
        (INTEGER, "$-1{,}234$", -1234),
        (INTEGER, "−5", -5),
        (INTEGER, r"\text{7}", 7),
        (FRACTION, "3/4", Fraction(3, 4)),
        (FRACTION, r"-\frac{3}{4}", Fraction(-3, 4)),
        (FRACTION, "5", Fraction(5)),
        (INTEGERS, "[1, -2, 3]", [1, -2, 3]),
        (INTEGERS, "1 2  3", [1, 2, 3]),
        (NAMES, "Ada, Ben", ["Ada", "Ben"]),
        (LINE, "`(1 + 2) * 3`", "(1 + 2) * 3"),
        (WORD, "ABBA", "abba"),
        (GRID, "# .\n. #", [["#", "."], [".", "#"]]),
        (GRID, "#.\n.#", [["#", "."], [".", "#"]]),
        (NUMBERS, "1 2\n3 -4", [[1, 2], [3, -4]]),
        (NUMBERS, "1, 2; 3, 4", [[1, 2], [3, 4]]),
        (NUMBERS, "[[1, 2],\n [3, 4]]", [[1, 2], [3, 4]]),
        (PAIRS, "(1, 2), (-3,4)", [(1, 2), (-3, 4)]),
        (ASSIGNMENT, "A=1, B = 2", {"A": 1, "B": 2}),
        (DATE, "2024-02-29", "2024-02-29"),
        (CLOCK, "09:05", "09:05"),
    ],
)
def test_what_is_asked_for_is_read(kind: Kind, text: str, value: Any) -> None:
    assert kind.read(text) == value
    assert kind.read(kind.write(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(
            (INTEGER, text)
            for text in ("", "12 or 13", "12.0", "1/1", "1,23", "１２", "twelve", "12 km", "9" * 301, "1e3")
        ),
        *((FRACTION, text) for text in ("2/4", "4/2", "3/1", "0.75", "1/0", "3/-4", "75%", "3/4/5")),
        *((INTEGERS, text) for text in ("", "1,,2", "1, two", "1 and 2", "[[1]]", ",", "1.5, 2")),
        *((NUMBERS, text) for text in ("", "1 x", "1 2 | three")),
        *((PAIRS, text) for text in ("", "1, 2", "(1, 2, 3)", "(1, 2) then (3, 4)", "((1, 2))")),
        *((ASSIGNMENT, text) for text in ("", "A", "A=1, A", "AB=1", "A=-1", "A=x")),
        *((DATE, text) for text in ("", "2023-02-29", "24-01-01", "01.02.2024", "0000-01-01")),
        *((CLOCK, text) for text in ("", "24:00", "9:05", "09:60")),
        *((LINE, text) for text in ("", "two\nlines", "x" * 5000)),
        *((NAMES, text) for text in ("", "Ada,,Ben", ",".join("a" * 4000))),
    ],
)
def test_anything_else_is_not(kind: Kind, text: str) -> None:
    assert kind.read(text) is None


PIECES = st.sampled_from([*"0123456789-+,.;:/()[]{}$=#\\ \n", "\\text{", "\\frac{", "A", "nan", "²", "\x00", "−"])


@given(st.lists(PIECES, max_size=60).map("".join))
def test_whatever_is_said_is_read_or_refused_and_what_is_read_can_be_written(text: str) -> None:
    for kind in KINDS:
        value = kind.read(text)
        if value is not None:
            assert kind.read(kind.write(value)) == value, (kind.words, text)


@pytest.mark.parametrize("make", [lambda n: "(" * n, lambda n: "1," * n, lambda n: "$" * n, lambda n: " " * n + "x"])
def test_long_answers_are_read_within_bounds(make: Callable[[int], str]) -> None:
    for kind in KINDS:
        value = kind.read(make(20_000))
        assert value is None or len(str(value)) < 25_000
