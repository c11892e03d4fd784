"""Tool declarations for a model: a name, a description, and a JSON schema of the parameters."""

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
    """The declaration of one tool.

    Attributes:
        name: name used in calls.
        description: purpose of the tool.
        parameters: JSON schema of an object.
    """

    name: str
    description: str
    parameters: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the tool in the OpenAI format."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    @property
    def closed_parameters(self) -> dict[str, Any]:
        """The parameters with ``additionalProperties: false``, unless the schema itself covers additional ones."""
        says_more = {"additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf"}
        if says_more & self.parameters.keys() or "$ref" in self.parameters:
            return self.parameters
        return {**self.parameters, "additionalProperties": False}


def declarations(tools: Any) -> dict[str, Declaration]:
    """Return name → tool for a list of tools in the OpenAI format or bare functions, with JSON's type names.

    Raises:
        DataError: an entry is not a tool, or two different tools share a name.
    """
    if not isinstance(tools, list | tuple):
        raise DataError(f"tools must be a list, found {tools!r:.80}; repair the dataset")
    found = [_declaration(tool) for tool in tools]
    by_name = {tool.name: tool for tool in found}
    if any(by_name[tool.name] != tool for tool in found):
        raise DataError(
            f"two different tools share a name among {[tool.name for tool in found]!r:.200}; repair the dataset"
        )
    return by_name


def _declaration(tool: Any) -> Declaration:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    parameters = function.get("parameters") or {} if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name or not isinstance(parameters, dict):
        raise DataError(f"a tool must be an object with a name and parameters, found {tool!r:.120}; repair the dataset")
    description = function.get("description")
    schema = as_json_schema({"type": "object", "properties": {}} | parameters)
    return Declaration(name, description if isinstance(description, str) else "", schema)


def as_json_schema(schema: Any, depth: int = 0) -> Any:
    """Return ``schema`` with Python's type names (``dict``, ``float``, …, as in BFCL) replaced by JSON schema's."""
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


def to_json_lines(tools: Iterable[Declaration], bare: bool = False) -> str:
    """Return one JSON line per tool, in the OpenAI format, or only its function if ``bare``."""
    return "\n".join(to_text(tool.to_json()["function"] if bare else tool.to_json()) for tool in tools)
