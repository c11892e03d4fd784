"""Patterns whose repeats copy too much are refused before they are compiled, and others are not."""

import time
from contextlib import suppress

import pytest
import regex

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.json_data.pattern_size import check_size
from lachesis.verifiers.json_data.schema import check_schema
from lachesis.verifiers.text.pattern import compile_pattern

LARGE = [
    "a{1000000000}",
    "a{0,1000000000}",
    "a{1000000,}",
    "(a{1000}){1000}",
    "((a{99}){99}){99}",
    "[a-z]{1000000}",
    r"\d{1000000}",
    "(?:ab|cd){500000}",
    "(?P<x>a){1000000}",
    "(a{1000}b{1000}){1000}",
    "x(?=a{1000000})",
    "a{99}{99}{99}",
    r"\(a{1000000}",
    "[](]{1000000}",
    "(?#c)a{1000000}",
    "a{" + "9" * 50 + "}",
    "(" * 500 + "a{9999}" * 12 + ")" * 500,
]
SMALL = [
    "a{1000}",
    "a{,5}",
    r"\d{4}-\d\d",
    "(ab){100}",
    "[{}]{3}",
    r"\{1000000}",
    "a{b}",
    "x = (?P<x>\\d+)",
    "",
    "a{3",
    "[a{1000000}]",
    r"[\]{9999999}]",
    "(a|b)*c+?",
    "[[:alpha:]{999999}]+",
    "(((a{10}){10}){10}){10}",
    "^.{0,50000}$",
    "}{",
    ")(",
    "a{0}",
]


@pytest.mark.parametrize("pattern", LARGE)
def test_a_pattern_that_grows_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="repeats more than"):
        check_size(pattern)
    with pytest.raises(ValueError, match="repeats more than"):
        compile_pattern(pattern, False)
    with pytest.raises(DataError):
        check_schema({"type": "string", "pattern": pattern})
    with pytest.raises(DataError):
        check_schema({"type": "object", "patternProperties": {pattern: {}}})


@pytest.mark.parametrize("pattern", SMALL)
def test_a_pattern_of_bounded_size_is_none_of_them_and_compiles_fast(pattern: str) -> None:
    check_size(pattern)
    start = time.thread_time()
    with suppress(regex.error):
        regex.compile(pattern)
    assert time.thread_time() - start < 2


@pytest.mark.parametrize("piece", ["(", ")", "[", "{", "\\", "{9}", "(?#", "[:", "a{9}", "(a)", "[^]"])
def test_hostile_patterns_are_measured_in_no_time(piece: str) -> None:
    start = time.thread_time()
    with suppress(ValueError):
        check_size(piece * 5000)
    assert time.thread_time() - start < 1
