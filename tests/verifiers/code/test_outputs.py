"""What a program printed against what was expected."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.code.outputs import COMPARISONS, close, difference


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        ("5\n", "5\n", "lines tokens numbers"),
        ("5", "5\n", "lines tokens numbers"),
        ("5 \r\n6\n\n", "5\n6", "lines tokens numbers"),
        ("5 6", "5\n6", "tokens numbers"),
        (" 5", "5", "tokens numbers"),
        ("5\n\n6", "5\n6", "tokens numbers"),
        ("5.0", "5", "numbers"),
        ("0.50", "0.5", "numbers"),
        ("1e3", "1000", "numbers"),
        ("05", "5", "numbers"),
        ("Yes", "YES", ""),
        ("5 5", "5", ""),
        ("", "5", ""),
        ("5", "", ""),
        ("nan", "5", ""),
        ("nan", "nan", "lines tokens numbers"),
        ("inf", "1e999", ""),
        ("1_000", "1000", ""),
        ("٥", "5", ""),
        ("5\x00", "5", ""),
        ("5\x0b", "5\n6", ""),
        ("9" * 5000, "9" * 4999 + "8", ""),
        ("0.1", "0.10000001", ""),
    ],
)
def test_outputs_are_compared_as_declared(found: str, expected: str, equal: str) -> None:
    for compare in COMPARISONS:
        assert (difference(found, expected, compare) == "") == (compare in equal.split()), compare


def test_the_tolerance_is_absolute_or_relative_and_for_numbers_only() -> None:
    assert close("0.1", "0.1000001", 1e-6)
    assert close("1000000.5", "1000000.0", 1e-6)
    assert not close("0.1", "0.2", 1e-6)
    assert not close("3", "4", 0.9)  # whole numbers are exact
    assert difference("0.1", "0.1000001", "lines", 1e-6)


def test_a_reason_names_the_place_and_is_printable() -> None:
    assert difference("1\n2\n", "1\n3\n") == "line 2: expected '3', found '2'"
    assert difference("1 2", "1", "tokens") == "expected 1 words, found 2"
    assert difference("\ud800\x1b[2J" + "x" * 1000, "1").isascii()


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(COMPARISONS))
def test_no_text_raises_and_a_text_equals_itself(found: str, expected: str, compare: str) -> None:
    assert difference(found, found, compare) == ""
    assert difference(found, expected, compare) == "" or found != expected


@pytest.mark.parametrize("found", ["1 " * 50_000, "9" * 100_000, "\n" * 100_000, "1e9" * 33_000, "." * 100_000])
def test_a_long_output_takes_no_time(found: str) -> None:
    start = time.process_time()
    for compare in COMPARISONS:
        difference(found, found + "1", compare, 0.1)
        difference(found, "2 " * 50_000, compare, 0.1)
    assert time.process_time() - start < 4
