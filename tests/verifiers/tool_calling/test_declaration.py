"""Tools as they are declared, in whatever of the usual shapes."""

from typing import Any

import pytest

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.json_data.schema import check_schema
from lachesis.verifiers.tool_calling.declaration import declarations

BARE = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


def test_bare_functions_and_the_openai_shape_are_one() -> None:
    assert declarations([BARE]) == declarations([{"type": "function", "function": BARE}])
    assert declarations([BARE])["f"].to_json() == {"type": "function", "function": BARE}


def test_python_names_of_types_become_json_at_every_depth_and_nowhere_else() -> None:
    inner = {"type": "tuple", "items": {"type": "float"}}
    properties = {"type": {"type": "dict", "properties": {"x": inner}}, "y": {"type": "any"}, "z": {"enum": ["dict"]}}
    schema = declarations([{"name": "f", "parameters": {"type": "dict", "properties": properties}}])["f"].parameters
    check_schema(schema)
    assert schema["type"] == "object"
    assert schema["properties"]["type"]["properties"]["x"] == {"type": "array", "items": {"type": "number"}}
    assert (schema["properties"]["y"], schema["properties"]["z"]) == ({}, {"enum": ["dict"]})


def test_other_parameters_are_closed_out_unless_the_schema_speaks_of_them() -> None:
    assert declarations([BARE])["f"].closed_parameters["additionalProperties"] is False
    for more in (
        {"additionalProperties": {"type": "string"}},
        {"patternProperties": {}},
        {"allOf": []},
        {"$ref": "#/x"},
    ):
        tool = declarations([{"name": "f", "parameters": more}])["f"]
        assert tool.closed_parameters == tool.parameters


@pytest.mark.parametrize(
    "tools",
    [
        *(None, "f", {"name": "f"}, [1], [{}], [{"name": ""}], [{"name": 1}], [{"name": "f", "parameters": [1]}]),
        *([{"name": "f", "parameters": "x"}], [BARE, {**BARE, "description": "other"}], [{"function": "f"}]),
    ],
)
def test_what_is_no_list_of_tools_is_the_datasets_fault(tools: Any) -> None:
    with pytest.raises(DataError):
        declarations(tools)
