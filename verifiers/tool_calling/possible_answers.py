"""One call against BFCL's possible answers: for each parameter the values that do, ``""`` where it may be left out."""

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
    """A call that is expected.

    Attributes:
        name: the function's.
        values: parameter → the values that do.
        parameters: the function's parameters, as a JSON schema.
    """

    name: str
    values: dict[str, list[Any]]
    parameters: dict[str, Any]


def possible_answers(answer: Any, functions: Mapping[str, Declaration]) -> list[PossibleAnswer]:
    """The calls that are expected.

    Raises:
        DataError: the answer has another shape, or names a function that is not declared.
    """
    if not isinstance(answer, list) or not answer:
        raise DataError(f"the answer is a list of possible answers, found {answer!r:.80}")
    return [_possible(one, functions) for one in answer]


def _possible(answer: Any, functions: Mapping[str, Declaration]) -> PossibleAnswer:
    if not isinstance(answer, dict) or len(answer) != 1:
        raise DataError(f"a possible answer is {{name: {{parameter: [values]}}}}, found {answer!r:.120}")
    name, values = next(iter(answer.items()))
    if name not in functions:
        raise DataError(f"the answer calls {name!r:.80}, which is not among the functions {list(functions)!r:.120}")
    if not isinstance(values, dict) or not all(isinstance(options, list) for options in values.values()):
        raise DataError(f"the possible values of a parameter are a list, found {values!r:.120}")
    return PossibleAnswer(name, values, functions[name].parameters)


def call_faults(call: ToolCall, answer: PossibleAnswer) -> list[str]:
    """Why ``call`` is not ``answer``, a reason each; empty where it is."""
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
    """Why ``value`` is none of ``options``, empty where it is one."""
    schema = schema if isinstance(schema, dict) else {}
    kind = _kind_named(schema)
    real = [option for option in options if option != ""]
    if not _has_type(value, kind, schema, real):
        return f"has the wrong type: {_kind_of(value)}, expected {schema.get('type', 'another')!s:.40}"
    return "" if _is_among(value, options) else f"has the wrong value {value!r:.80}"


def _has_type(value: Any, kind: str | None, schema: dict[str, Any], options: list[Any]) -> bool:
    """Whether it has the declared type (an integer may serve for a float), or the type of the answers."""
    if kind is None or _serves(value, kind):
        return kind != "array" or _items_have_type(value, schema.get("items"), options)
    return bool(options) and _kind_of(value) == _kind_of(options[0])


def _items_have_type(value: list[Any], schema: Any, options: list[Any]) -> bool:
    kind = _kind_named(schema) if isinstance(schema, dict) else None
    lists = [option for option in options if isinstance(option, list)]
    if kind is None or not lists:
        return True
    return any(
        all(_serves(item, kind) or (option and _kind_of(item) == _kind_of(option[0])) for item in value)
        for option in lists
    )


def _serves(value: Any, kind: str) -> bool:
    return _kind_of(value) == kind or (kind == "float" and _kind_of(value) == "integer")


def _kind_named(schema: dict[str, Any]) -> str | None:
    named = schema.get("type")
    return _KINDS.get(named) if isinstance(named, str) else None


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "float"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _is_among(value: Any, options: list[Any]) -> bool:
    return any(_fits(value, option) for option in options)


def _fits(value: Any, option: Any) -> bool:
    """Whether it is ``option``, which for an object lists the values of each of its keys."""
    if isinstance(value, list) and isinstance(option, list):
        return len(value) == len(option) and all(_fits(each, one) for each, one in zip(value, option, strict=True))
    if _lists_values(option):
        return isinstance(value, dict) and _has_values(value, option)
    return json_key(_plain(value)) == json_key(_plain(option))


def _lists_values(option: Any) -> bool:
    return isinstance(option, dict) and all(isinstance(choices, list) for choices in option.values())


def _has_values(value: dict[str, Any], option: dict[str, list[Any]]) -> bool:
    """BFCL's rule for objects; an object inside of one may also stand there as it is meant."""
    for name, inner in value.items():
        same = (json_key(_plain(choice)) == json_key(_plain(inner)) for choice in option.get(name, ()))
        if not any(same) and not _is_among(inner, option.get(name, [])):
            return False
    return all(name in value or "" in choices for name, choices in option.items())


def _plain(value: Any) -> Any:
    """``value`` with its strings as BFCL compares them: lower case, without some punctuation, one kind of quote."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value
