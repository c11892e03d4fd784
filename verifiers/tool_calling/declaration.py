"""Tools as they are declared to a model: a name, a description, and a JSON schema of the parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..json_data.text import to_text

_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "int": "integer"}
_JSON_TYPES |= {"str": "string", "bool": "boolean"}
_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


@dataclass(frozen=True)
class Declaration:
    """One tool.

    Attributes:
        name: as calls say it.
        description: what it is for.
        parameters: JSON schema of an object.
    """

    name: str
    description: str
    parameters: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The tool in the OpenAI shape."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    @property
    def closed_parameters(self) -> dict[str, Any]:
        """The parameters with no others beside them, unless the schema itself says something of others."""
        says_more = {"additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf"}
        if says_more & self.parameters.keys() or "$ref" in self.parameters:
            return self.parameters
        return {**self.parameters, "additionalProperties": False}


def declarations(tools: Any) -> dict[str, Declaration]:
    """Name → tool, from a list of tools in the OpenAI shape or bare functions; Python's type names become JSON's.

    Raises:
        DataError: something in it is no tool, or two different ones have one name.
    """
    if not isinstance(tools, list | tuple):
        raise DataError(f"tools are a list, found {tools!r:.80}; repair the dataset")
    found = [_declaration(tool) for tool in tools]
    by_name = {tool.name: tool for tool in found}
    if any(by_name[tool.name] != tool for tool in found):
        raise DataError(
            f"two different tools have one name among {[tool.name for tool in found]!r:.200}; repair the dataset"
        )
    return by_name


def _declaration(tool: Any) -> Declaration:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    parameters = function.get("parameters") or {} if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name or not isinstance(parameters, dict):
        raise DataError(f"a tool is an object with a name and parameters, found {tool!r:.120}; repair the dataset")
    description = function.get("description")
    schema = as_json_schema({"type": "object", "properties": {}} | parameters)
    return Declaration(name, description if isinstance(description, str) else "", schema)


def as_json_schema(schema: Any, depth: int = 0) -> Any:
    """``schema`` with Python's type names (``dict``, ``float``, …, as BFCL has them) in JSON schema's words."""
    if not isinstance(schema, dict) or depth > 64:
        return schema
    made = dict(schema)
    if schema.get("type") == "any":
        del made["type"]
    elif isinstance(schema.get("type"), str):
        made["type"] = _JSON_TYPES.get(schema["type"], schema["type"])
    for name in _MAPS:
        if isinstance(inner := schema.get(name), dict):
            made[name] = {key: as_json_schema(value, depth + 1) for key, value in inner.items()}
    for name in _LISTS:
        if isinstance(inner := schema.get(name), list):
            made[name] = [as_json_schema(value, depth + 1) for value in inner]
    for name in ("items", "additionalProperties"):
        if name in schema:
            made[name] = as_json_schema(schema[name], depth + 1)
    if isinstance(schema.get("required"), bool) or schema.get("required") is None:
        made.pop("required", None)
    return made


def as_lines(tools: Iterable[Declaration], bare: bool = False) -> str:
    """A tool a line, as JSON; ``bare`` without the OpenAI shape around each."""
    return "\n".join(to_text(tool.to_json()["function"] if bare else tool.to_json()) for tool in tools)
