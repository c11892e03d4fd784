"""JSON text from a model: decoded strictly and within bounds, and compared as JSON."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.json_data.text import MAX_DEPTH, NotJson, is_deeper, json_key, read_json, read_json_at

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_every_json_value_is_read_back(value: Any) -> None:
    assert read_json(f" {json.dumps(value)}\n") == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "NaN", "-Infinity", "[1e999]", '{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', "1 2", "[1,]", "{'a': 1}"),
        *("[" * 100_000, "[" * 65 + "]" * 65, "1" * 50_000, '"\n"', "\u00a01", '{"a": 1}}', "x" * 2_000_000),
    ],
)
def test_text_that_is_not_json_or_exceeds_the_bounds_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        read_json(text)


def test_the_bound_on_depth_is_exact() -> None:
    at, past = (json.loads("[" * n + "]" * n) for n in (MAX_DEPTH, MAX_DEPTH + 1))
    assert (is_deeper(at, MAX_DEPTH), is_deeper(past, MAX_DEPTH)) == (False, True)
    assert read_json("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)


def test_a_value_ends_before_the_following_text() -> None:
    assert read_json_at('x {"a": "</tool_call>"} y', 1) == ({"a": "</tool_call>"}, 23)


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_text_that_is_cut_off_is_reported_as_cut_off(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(NotJson) as caught:
        read_json(cut)
    assert caught.value.at_end


@pytest.mark.parametrize("text", ["{'a': 1}", "[1,] ", "{]                ", "nil        ", '{"a" 1}       '])
def test_text_that_is_wrong_before_its_end_is_not_called_cut_off(text: str) -> None:
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert not caught.value.at_end


def test_keys_are_equal_exactly_where_json_values_are() -> None:
    assert json_key({"a": 1, "b": [2]}) == json_key({"b": [2.0], "a": 1})
    assert len({json_key(value) for value in (1, True, "1", [1], [True], {"1": 1}, None, 0, False, "", [], {})}) == 12


@given(st.text(alphabet='[]{}",:\\ntrue0123eE+-. u'))
def test_any_text_raises_at_most_not_json(text: str) -> None:
    with contextlib.suppress(NotJson):
        read_json(text)
