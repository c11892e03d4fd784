"""Numbers as people write them."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.math.quantity import Quantity, read_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("1,080", 1080),
        ("109,200,000", 109_200_000),
        ("1{,}080", 1080),
        (r"11,\! 111,\! 100", 11_111_100),
        ("-5", -5),
        ("−5", -5),
        ("-$5", -5),
        ("$-5", -5),
        ("+5.", 5),
        (".5", Fraction(1, 2)),
        ("1e3", 1000),
        ("5.25", Fraction(21, 4)),
        ("３.5", Fraction(7, 2)),
        ("$ 42 $", 42),
        (r"\( 42 \)", 42),
        (r"\$1,080.50", Fraction(2161, 2)),
        ("3/4", Fraction(3, 4)),
        ("1 3/4", Fraction(7, 4)),
        ("-1 3/4", Fraction(-7, 4)),
        (r"\frac{1}{2}", Fraction(1, 2)),
        (r"\dfrac12", Fraction(1, 2)),
        (r"-3\frac{1}{2}", Fraction(-7, 2)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
    ],
)
def test_a_number_is_read_exactly(text: str, value: Fraction) -> None:
    assert read_quantity(text) == Quantity(
        Fraction(value), unit="$" if r"\$" in text or "$5" in text or "$-" in text else ""
    )


@pytest.mark.parametrize(
    ("text", "percent", "unit"),
    [
        ("18 dollars", False, "$"),
        ("$18", False, "$"),
        ("18 duck eggs", False, "duck egg"),
        (r"18\text{ cm}", False, "cm"),
        (r"18 \mathrm{cm}", False, "cm"),
        ("18 m", False, "m"),
        (r"18^\circ", False, "degree"),
        ("18°", False, "degree"),
        ("18%", True, ""),
        (r"18\%", True, ""),
        ("18 percent", True, ""),
        (r"18\text{ percent}", True, ""),
        (r"18\mbox{ cm}^2", False, "cm^2"),
        ("18 square centimeters", False, "cm^2"),
        ("18 km", False, "km"),
    ],
)
def test_percent_and_units_are_kept_apart_from_the_number(text: str, percent: bool, unit: str) -> None:
    assert read_quantity(text) == Quantity(Fraction(18), percent, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seven",
        "5x",
        "5 x",
        "5 million",
        "5 dozen eggs",
        "5 or 6",
        "5 pi",
        "1,2",
        "1,0800",
        "1,2,3",
        "5 feet 6 inches",
        "1/0",
        r"\frac{1}{0}",
        "3 = 4",
        "2^3",
        "5²",
        "5!",
        "(5)",
        "--5",
        "-$-5",
        "1_000",
        "102_2",
        "5m",
        "inf",
        "nan",
        "0x10",
        "1e9999",
        "1" * 1001,
    ],
)
def test_what_is_more_than_a_number_is_none(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        ("18", "$18", True),
        ("18 eggs", "18", True),
        ("5 cm", "5 m", False),
        ("5 dollars", "$5", True),
        ("0.5", r"50\%", True),
        ("50", r"50\%", False),
        ("50%", "50%", True),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("5%", "50", False),
        ("1/3", "0.333", False),
        ("5000 m", "5 km", True),
        ("50 cm", "5 m", False),
        ("100 cm^2", r"1\text{ dm}^2", True),
        ("100 cm", r"1\text{ dm}^2", False),
        ("90 minutes", "1.5 hours", True),
        ("101_2", "101", False),
        ("101", "101_2", False),
        ("101_2", "101_{2}", True),
        ("101_2", "101_3", False),
        ("5", "101_2", False),
        ("17_{10}", "17", True),
        ("10000000000000000000000001", "10000000000000000000000000", False),
    ],
)
def test_units_count_where_both_name_one_and_percent_is_a_hundredth(answer: str, expected: str, equal: bool) -> None:
    left, right = read_quantity(answer), read_quantity(expected)
    assert left is not None
    assert right is not None
    assert left.equals(right) is equal


@given(st.fractions(max_denominator=10**6))
def test_every_fraction_is_read_back(value: Fraction) -> None:
    sign, top = "-" if value < 0 else "", abs(value.numerator)
    for text in (f"{sign}{top}/{value.denominator}", rf"{sign}\frac{{{top}}}{{{value.denominator}}}"):
        assert read_quantity(text) == Quantity(value)


@given(st.integers())
def test_thousands_separators_change_nothing(value: int) -> None:
    assert read_quantity(f"{value:,}") == read_quantity(str(value)) == Quantity(Fraction(value))


@given(st.text(alphabet="0123456789,./$%{}\\ frac-+eE^", max_size=1000))
def test_no_text_makes_the_reader_raise_or_stall(text: str) -> None:
    start = time.process_time()
    read_quantity(text)
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    "text", ["1," * 500, "1 " * 500, r"\frac" * 200, "1" * 1000, "1e" * 500, "{" * 1000, "5" + " a" * 490]
)
def test_long_near_misses_take_no_time(text: str) -> None:
    start = time.process_time()
    read_quantity(text)
    assert time.process_time() - start < 4
