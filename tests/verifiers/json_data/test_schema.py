"""Validation against JSON schemas: the kinds of faults, and hostile schemas and values."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.json_data.schema import Fault, check_schema, faults

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["x"],
    "additionalProperties": False,
}
TREE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}, "required": ["kids"]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def kinds(instance: Any, schema: Any, **rules: Any) -> list[tuple[str, str]]:
    return [(fault.path, fault.kind) for fault in faults(instance, schema, **rules)]


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"x": 1}, []),
        ({"x": "1"}, [("$.x", "type")]),
        ({"x": True}, [("$.x", "type")]),
        ({"x": None}, [("$.x", "type")]),
        ({}, [("$.x", "missing")]),
        ({"x": 1, "y": 2, "z": 3}, [("$.y", "unknown"), ("$.z", "unknown")]),
        ({"x": 1, "tags": ["a", "c"]}, [("$.tags[1]", "value")]),
        ({"x": 1, "tags": "a"}, [("$.tags", "type")]),
        ([], [("$", "type")]),
    ],
)
def test_each_kind_of_fault_is_told_apart_with_its_path(instance: Any, expected: list[tuple[str, str]]) -> None:
    assert kinds(instance, POINT) == expected


def test_a_whole_float_is_an_integer_by_default_as_in_the_specification() -> None:
    assert kinds({"x": 1.0}, POINT) == []
    assert kinds({"x": 1.0}, POINT, whole_floats=False) == [("$.x", "type")]
    assert kinds({"x": 1.5}, POINT) == [("$.x", "type")]
    assert kinds(1, {"type": "number"}, whole_floats=False) == []


@pytest.mark.parametrize(
    ("instance", "schema", "valid"),
    [
        (True, {"enum": [1]}, False),
        (1, {"const": True}, False),
        ([1], {"const": [True]}, False),
        (1.0, {"const": 1}, True),
        (True, {"type": "number"}, False),
        (0.3, {"multipleOf": 0.1}, True),
        (0.35, {"multipleOf": 0.1}, False),
        (10**400, {"multipleOf": 10}, True),
        ([1, True], {"uniqueItems": True}, True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], {"uniqueItems": True}, False),
        ("12\n", {"pattern": r"^\d+$"}, False),
        ("12", {"pattern": r"^\d+$"}, True),
        ("٣", {"pattern": r"^[\d]$"}, False),
        ("a$", {"pattern": r"^a\$$"}, True),
        ("x-$", {"pattern": r"^[\w$-]+$"}, True),
        ({"n1": "x"}, {"patternProperties": {r"^n\d$": {"type": "integer"}}, "additionalProperties": False}, False),
        ({"n1": 1}, {"patternProperties": {r"^n\d$": {"type": "integer"}}, "additionalProperties": False}, True),
        ({"m1": 1}, {"patternProperties": {r"^n\d$": {"type": "integer"}}, "additionalProperties": False}, False),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, False),
        ({"$ref": "http://x"}, {"properties": {"$ref": {"type": "string"}}}, True),
        (1, True, True),
        (1, False, False),
    ],
)
def test_json_is_compared_as_json_and_not_as_python(instance: Any, schema: Any, valid: bool) -> None:
    assert (faults(instance, schema) == []) is valid


def test_a_type_error_in_a_choice_of_types_has_kind_type() -> None:
    optional = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert kinds(1, optional) == [("$", "type")]
    assert kinds({"a": 1}, {"properties": {"a": False}}) == [("$.a", "unknown")]
    assert kinds({"a": 1}, {"dependentRequired": {"a": ["b"]}}) == [("$", "missing")]


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        "string",
        {"type": "dict"},
        {"type": 5},
        {"required": "x"},
        {"properties": []},
        {"minimum": float("nan")},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "other.json#/a"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "http://json-schema.org/draft-07/schema#"},
        {"properties": {"a": {"$ref": "https://example.org/a"}}},
        {"properties": {"default": {"$ref": "https://example.org/a"}}},
        {"$ref": "#/$defs/hidden", "$defs": {"hidden": {"items": {"$ref": "https://example.org/a"}}}},
        {"$ref": "#/x/hidden", "x": {"hidden": {"items": {"$ref": "https://example.org/a"}}}},
        {"$dynamicRef": "https://example.org/a"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "#nowhere"},
        {"$ref": "#"},
        {"allOf": [{"anyOf": [{"$ref": "#"}]}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "items": {"$ref": "#/$defs/a"}},
        {"pattern": "("},
        {"patternProperties": {"(": {}}},
        {"pattern": "a" * 6000},
        {"$schema": "http://json-schema.org/draft-03/schema#"},
        {"properties": {"a": {"$id": "https://example.org/", "$ref": "#/x"}}},
        {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
        {"unevaluatedProperties": False, "patternProperties": {"a": {}}},
        {"anyOf": [{}] * 6000},
    ],
)
def test_a_schema_that_is_invalid_or_unsafe_is_a_data_error(schema: Any) -> None:
    if schema == {"anyOf": [{}] * 6000}:
        schema = {"anyOf": [{"const": number} for number in range(6000)]}
    with pytest.raises(DataError):
        check_schema(schema)
    with pytest.raises(DataError):
        faults({}, schema)


def test_a_deep_schema_is_refused() -> None:
    schema: Any = {}
    for _ in range(5000):
        schema = {"items": schema}
    with pytest.raises(DataError):
        check_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/n"}}}
        | {"definitions": {"n": {"type": "integer", "pattern": "(a+)+$"}}},
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "id": "http://x/",
            "properties": {"a": {"type": "integer"}},
        },
        {"$schema": "https://json-schema.org/draft/2019-09/schema", "properties": {"a": {"type": "integer"}}},
        {"$id": "https://example.org/s", "properties": {"a": {"$ref": "#n"}}}
        | {"$defs": {"n": {"$anchor": "n", "type": "integer"}}},
        {"properties": {"a": {"$ref": "#/$defs/a~1b%25"}}, "$defs": {"a/b%": {"type": "integer"}}},
    ],
)
def test_drafts_and_local_references_are_followed(schema: Any) -> None:
    assert kinds({"a": 1}, schema) == []
    assert kinds({"a": "x"}, schema)[0] == ("$.a", "type")


def test_a_schemas_own_draft_does_not_bring_back_the_librarys_patterns() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "pattern": "^(a|a)*$",
        "items": {"$ref": "#"},
    }
    start = time.thread_time()
    assert kinds([["a" * 5_000 + "!"]], schema) == [("$", "limit")]
    assert time.thread_time() - start < 3


def test_a_recursive_schema_is_followed_as_deep_as_the_value_goes() -> None:
    value: Any = {"kids": []}
    for _ in range(20):
        value = {"kids": [value]}
    assert faults(value, TREE) == []
    assert kinds({"kids": [{"kids": [{}]}]}, TREE) == [("$.kids[0].kids[0].kids", "missing")]


def deep(levels: int) -> Any:
    value: Any = {"kids": []}
    for _ in range(levels):
        value = {"kids": [value]}
    return value


BRANCHES = {"properties": {"kids": {"items": {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]}}}}


@pytest.mark.parametrize(
    ("instance", "schema"),
    [
        (deep(5000), TREE),
        (deep(28), BRANCHES),
        ("a" * 50_000 + "!", {"pattern": "^(a|a)*$"}),
        ({"a" * 5_000 + "!": 1}, {"patternProperties": {"^(a|a)*$": {}}}),
        ({"a" * 5_000 + "!": 1}, {"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False}),
        ([["a" * 5_000 + "!"]] * 9, {"items": {"items": {"pattern": "^(a|a)*$"}}}),
    ],
)
def test_a_check_that_would_take_forever_ends_at_its_limit(instance: Any, schema: Any) -> None:
    start = time.thread_time()
    assert [fault.kind for fault in faults(instance, schema)] == ["limit"]
    assert time.thread_time() - start < 3


@pytest.mark.parametrize(
    ("instance", "schema"),
    [
        ([[number] for number in range(20_000)], {"uniqueItems": True}),
        ([True, 1, "1", None] * 12_000, {"items": {"type": "string"}}),
        ({str(number): number for number in range(10_000)}, {"additionalProperties": False}),
        ([deep(20)] * 200, {"items": TREE}),
    ],
)
def test_large_values_are_judged_with_bounded_reports(instance: Any, schema: Any) -> None:
    found = faults(instance, schema)
    assert len(found) <= 50
    assert all(len(fault.message) <= 200 and fault.kind != "limit" for fault in found)


@given(VALUES, VALUES)
def test_any_value_and_schema_raise_at_most_a_data_error(instance: Any, schema: Any) -> None:
    with contextlib.suppress(DataError):
        assert all(isinstance(fault, Fault) for fault in faults(instance, schema))


@given(VALUES)
def test_a_value_is_valid_by_its_own_constant(value: Any) -> None:
    assert faults(value, {"const": value}) == []
    assert faults([value], {"const": value}) != []
