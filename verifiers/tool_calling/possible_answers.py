"""BFCL's possible answers, which list the accepted values of each parameter (``""`` if optional), and their check."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..json_data.text import json_key
from .call import ToolCall
from .declaration import Declaration

_KINDS = {"number": "float"} | {kind: kind for kind in ("string", "integer", "boolean", "array", "object")}
_IGNORED = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True)
class PossibleAnswer:
    """An expected call.

    Attributes:
        name: name of the function.
        values: parameter → accepted values.
        parameters: JSON schema of the function's parameters.
    """

    name: str
    values: dict[str, list[Any]]
    parameters: dict[str, Any]


def possible_answers(answer: Any, functions: Mapping[str, Declaration]) -> list[PossibleAnswer]:
    """Return the expected calls.

    Raises:
        DataError: the answer is malformed, or names an undeclared function.
    """
    if not isinstance(answer, list) or not answer:
        raise DataError(f"the answer must be a list of possible answers, found {answer!r:.80}")
    return [_possible_answer(one, functions) for one in answer]


def _possible_answer(answer: Any, functions: Mapping[str, Declaration]) -> PossibleAnswer:
    if not isinstance(answer, dict) or len(answer) != 1:
        raise DataError(f"a possible answer must be {{name: {{parameter: [values]}}}}, found {answer!r:.120}")
    name, values = next(iter(answer.items()))
    if name not in functions:
        raise DataError(f"the answer calls {name!r:.80}, which is not among the functions {list(functions)!r:.120}")
    if not isinstance(values, dict) or not all(isinstance(options, list) for options in values.values()):
        raise DataError(f"the possible values of a parameter must be a list, found {values!r:.120}")
    return PossibleAnswer(name, values, functions[name].parameters)


def call_faults(call: ToolCall, answer: PossibleAnswer) -> list[str]:
    """Return the reasons why ``call`` does not match ``answer``; empty if it does."""
    if call.name != answer.name:
        return [f"wrong name {call.name!r:.80}, expected {answer.name!r:.80}"]
    declared = answer.parameters.get("properties") or {}
    required = set(answer.parameters.get("required") or ())
    optional = {name for name, options in answer.values.items() if "" in options}
    missing = (required | (answer.values.keys() - optional)) - call.arguments.keys()
    found = [f"missing argument {name!r:.80}" for name in sorted(missing)]
    for name, value in call.arguments.items():
        if name not in declared or name not in answer.values:
            found.append(f"unknown argument {name!r:.80}")
        elif fault := value_fault(value, answer.values[name], declared[name]):
            found.append(f"argument {name!r:.80} {fault}")
    return found


def value_fault(value: Any, options: list[Any], schema: Any) -> str:
    """Return why ``value`` matches none of ``options``, or an empty string if it matches one."""
    schema = schema if isinstance(schema, dict) else {}
    kind = _declared_type(schema)
    real = [option for option in options if option != ""]
    if not _has_type(value, kind, schema, real):
        return f"has the wrong type: {_type_of(value)}, expected {schema.get('type', 'another')!s:.40}"
    return "" if _matches_any(value, options) else f"has the wrong value {value!r:.80}"


def _has_type(value: Any, kind: str | None, schema: dict[str, Any], options: list[Any]) -> bool:
    """Return whether the value has the declared type (or is an integer for a float) or the type of the answers."""
    if kind is None or _is_compatible(value, kind):
        return kind != "array" or _items_have_type(value, schema.get("items"), options)
    return bool(options) and _type_of(value) == _type_of(options[0])


def _items_have_type(value: list[Any], schema: Any, options: list[Any]) -> bool:
    kind = _declared_type(schema) if isinstance(schema, dict) else None
    lists = [option for option in options if isinstance(option, list)]
    if kind is None or not lists:
        return True
    return any(
        all(_is_compatible(item, kind) or (option and _type_of(item) == _type_of(option[0])) for item in value)
        for option in lists
    )


def _is_compatible(value: Any, kind: str) -> bool:
    return _type_of(value) == kind or (kind == "float" and _type_of(value) == "integer")


def _declared_type(schema: dict[str, Any]) -> str | None:
    named = schema.get("type")
    return _KINDS.get(named) if isinstance(named, str) else None


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "float"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _matches_any(value: Any, options: list[Any]) -> bool:
    return any(_matches(value, option) for option in options)


def _matches(value: Any, option: Any) -> bool:
    """Return whether the value matches ``option``; an object lists the accepted values of each key."""
    if isinstance(value, list) and isinstance(option, list):
        return len(value) == len(option) and all(_matches(each, one) for each, one in zip(value, option, strict=True))
    if _lists_values(option):
        return isinstance(value, dict) and _has_values(value, option)
    return _same(value, option)


def _same(value: Any, option: Any) -> bool:
    """Compare as BFCL does, but a text of nothing but ignored characters is not the empty one."""
    if isinstance(value, str) and isinstance(option, str) and not _normalize(option):
        return value == option
    return json_key(_normalize(value)) == json_key(_normalize(option))


def _lists_values(option: Any) -> bool:
    return isinstance(option, dict) and all(isinstance(choices, list) for choices in option.values())


def _has_values(value: dict[str, Any], option: dict[str, list[Any]]) -> bool:
    """Apply BFCL's rule for objects, where a nested object may also be given literally."""
    for name, inner in value.items():
        if not any(_same(inner, choice) for choice in option.get(name, ())) and not _matches_any(
            inner, option.get(name, [])
        ):
            return False
    return all(name in value or "" in choices for name, choices in option.items())


def _normalize(value: Any) -> Any:
    """Return ``value`` with strings normalised as in BFCL: lower case, less punctuation, one kind of quote."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    if isinstance(value, list):
        return [_normalize(item) for item in value]
    if isinstance(value, dict):
        return {name: _normalize(inner) for name, inner in value.items()}
    return value
