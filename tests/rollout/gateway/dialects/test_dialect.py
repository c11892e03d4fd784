"""Sampling fields: equal ones are checked once, and those that Python only finds equal are told apart."""

import pytest

from lachesis.rollout.gateway.dialects.dialect import _remembered, read_sampling
from lachesis.rollout.service.engine.requests import Refusal


def test_equal_fields_are_checked_once_and_values_of_other_types_are_told_apart() -> None:
    assert read_sampling({"model": "m", "messages": []}) is read_sampling({"model": "m", "messages": [1]})
    assert [repr(read_sampling({"logprobs": value}).logprobs) for value in (1, True, 0, False)] == [
        "1",
        "True",
        "0",
        "False",
    ]
    assert read_sampling({"stop": ["a"]}).stop == ["a"]


def test_what_is_large_or_refused_is_not_remembered() -> None:
    before = _remembered.cache_info().currsize
    assert read_sampling({"model": "m" * 100_000}).model == "m" * 100_000
    for _ in range(2):
        with pytest.raises(Refusal, match="temperature"):
            read_sampling({"temperature": -1})
    assert _remembered.cache_info().currsize == before
