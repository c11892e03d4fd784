"""Tests in rows: what JSON cannot write is restored for the program."""

import pytest

from lachesis.verifiers.code.suite import Pair, with_integer_keys
from lachesis.verifiers.errors import DataError


def test_texts_of_integers_become_keys_of_arguments_but_not_of_results() -> None:
    pair = Pair([{"1": {"-2": "a", "x": {"03": 1}}, "40": []}, "1"], {"1": 2})
    assert with_integer_keys(pair) == Pair([{1: {"-2": "a", "x": {"03": 1}}, 40: []}, "1"], {"1": 2})
    assert with_integer_keys(Pair('{"1": 2}', "3")) == Pair('{"1": 2}', "3")


def test_arguments_that_are_nested_without_end_are_refused() -> None:
    value: list[object] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(DataError, match="nested too deep"):
        with_integer_keys(Pair(value, 1))
