"""Misspelt JSON is read as it was meant, and nothing that is cut off is completed."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.json_data.text import NotJson
from lachesis.verifiers.tool_calling.parsers.repair import read_repaired

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
PRINTABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("aé'\"\\\n{}[],: "),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a'\""), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_json_is_read_as_json_without_a_repair(value: Any) -> None:
    text = json.dumps(value)
    assert read_repaired(text, 0) == (value, len(text), [])


@given(PRINTABLE)
def test_what_python_prints_is_read_back(value: Any) -> None:
    text = repr(value)
    assert read_repaired(text, 0)[:2] == (value, len(text))


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_nothing_is_completed(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    with pytest.raises(NotJson):
        read_repaired(text[: data.draw(st.integers(0, len(text) - 1))], 0)


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        ("{'a': \"b\"}", {"a": "b"}, ["single quotes"]),
        (r"{'a': 'it\'s \"so\" \u00e9 \n'}", {"a": 'it\'s "so" é \n'}, ["single quotes"]),
        ("{'a': 'say \"no\"'}", {"a": 'say "no"'}, ["single quotes"]),
        ('["a",]', ["a"], ["a trailing comma"]),
        ('{"a": 1 , }', {"a": 1}, ["a trailing comma"]),
        ("[True, False, None]", [True, False, None], ["Python's literals"]),
        ('["a\nb\tc"]', ["a\nb\tc"], ["a raw line break or tab in a string"]),
        ("[[], {}]", [[], {}], []),
    ],
)
def test_each_repair_is_named(text: str, value: Any, repairs: list[str]) -> None:
    assert read_repaired(text, 0) == (value, len(text), repairs)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[,]",
            "{,}",
            "[1,,]",
            "[1 2]",
            "{a: 1}",
            "{'a' 1}",
            "{'a': 1, 'a': 2}",
            "nan",
            "NaN",
            "inf",
            "[0x1]",
        ),
        *("'a", "{'it's': 1}", r"'\x41'", "1e999", "(1,)", "{1: 2}", "b'a'", "f'a'", "-", "{'a': 1, **b}", "lambda: 1"),
        "// c\n1",
    ],
)
def test_what_is_no_misspelling_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        read_repaired(text, 0)


def test_depth_is_bounded() -> None:
    with pytest.raises(NotJson):
        read_repaired("[" * 50_000, 0)


@given(st.lists(st.sampled_from([*"{}[]':,\\\" \n1e-.", "True", "null", "'a'", '"b"', "\\u12"])).map("".join))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(NotJson):
        read_repaired(text, 0)
