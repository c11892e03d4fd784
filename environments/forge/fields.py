"""The fields of a record that a node takes or gives: names with the types of their values."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rows.jsonl import check_json

Record = dict[str, Any]
"""What a walk has made so far: JSON values by field."""
Fields = Mapping[str, type]
"""Field → type of its value."""

TYPES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    object: "any JSON",
}
"""The types that a field may have, in words."""


def check_fields(fields: Any, where: str) -> None:
    """Raise ``ConfigError`` unless ``fields`` maps names to types of ``TYPES``; the message begins with ``where``."""
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{where} is a table from field to type, such as {{'text': str}}, found {fields!r:.80}")
    for name, kind in fields.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"{where}: a field's name is a word such as 'text', found {name!r:.80}")
        if not isinstance(kind, type) or kind not in TYPES:
            known = ", ".join(each.__name__ for each in TYPES)
            raise ConfigError(f"{where}: the type of {name!r} is one of {known}, found {kind!r:.80}")


def accepts(wanted: type, found: type) -> bool:
    """Whether every value of type ``found`` is one of type ``wanted``."""
    return wanted in (found, object) or (wanted is float and found is int)


def misfit(record: Mapping[str, Any], fields: Fields) -> str:
    """Why ``record`` lacks one of ``fields``, in one line; empty if it has all of them with the right types."""
    for name, kind in fields.items():
        if name not in record:
            return f"there is no field {name!r}"
        value = record[name]
        if not _is(value, kind):
            return f"field {name!r} is {TYPES[kind]}, found {value!r:.80}"
        if not isinstance(value, str | int | float):
            try:
                check_json(value, f"field {name!r}")
            except DataError as error:
                return str(error)
    return ""


def described(fields: Fields) -> str:
    """The fields in words."""
    return ", ".join(f"{name!r} ({TYPES[kind]})" for name, kind in fields.items()) or "nothing"


def _is(value: Any, kind: type) -> bool:
    if kind is object:
        return True
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float) and isfinite(value)
    return isinstance(value, kind)
