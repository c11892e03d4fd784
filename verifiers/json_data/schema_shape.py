"""The checks on a JSON schema before its use: its size, its validity, and that it refers only to itself."""

from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

import jsonschema
import regex
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from ..errors import DataError
from .pattern_size import check_size
from .text import MAX_DEPTH, is_deeper

MAX_PARTS = 5_000
"""How many objects and arrays a schema may contain."""
MAX_PATTERN = 5_000
"""The longest pattern, in characters."""

_SAME_VALUE = ("not", "if", "then", "else")
_SAME_VALUE_LISTS = ("allOf", "anyOf", "oneOf")
_INNER_VALUE = (
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
)
_INNER_VALUE_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_shape(schema: Any, draft: Any) -> None:
    """Check that a schema can be used safely, and remove ``$schema`` and the root's ``$id`` from it.

    Otherwise the library would replace our validator because of ``$schema``, and resolve ``#`` elsewhere because of
    ``$id``.

    Raises:
        DataError: as in ``check_schema``.
    """
    if draft is jsonschema.Draft3Validator:
        raise _unusable("draft 3 is not supported; write it in a later draft")
    if is_deeper(schema, MAX_DEPTH):
        raise _unusable(f"it is nested deeper than {MAX_DEPTH}")
    if _count_parts(schema) > MAX_PARTS:
        raise _unusable(f"it has more than {MAX_PARTS} parts")
    if isinstance(schema, dict):
        for name in ("$schema", "$id", "id"):
            if isinstance(schema.get(name), str):
                del schema[name]
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        raise _unusable(f"{error.json_path}: {error.message:.200}") from None
    except RecursionError:
        raise _unusable("it is nested too deeply") from None
    except (OverflowError, ValueError) as error:  # from a pattern with a repeat that Python cannot count
        raise _unusable(f"a pattern is not a regular expression ({error!s:.100})") from None
    _check_parts(schema, draft)


def _unusable(reason: str) -> DataError:
    return DataError(f"the JSON schema cannot be used: {reason}; repair the dataset")


def _count_parts(value: Any) -> int:
    """The number of objects and arrays in ``value``."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + sum(map(_count_parts, value.values() if isinstance(value, dict) else value))


def _check_parts(root: Any, draft: Any) -> None:
    """Check the root, all of its parts and all that it refers to, and that no chain of references is a circle."""
    specification = specification_with(draft.META_SCHEMA["$schema"])
    resolver = Registry().resolver_with_root(specification.create_resource(root))
    waiting, seen = [root], {}
    here = TopologicalSorter[int]()
    while waiting:
        schema = waiting.pop()
        if id(schema) in seen or not isinstance(schema, dict):
            continue
        seen[id(schema)] = schema
        _check_part(schema, schema is root)
        same = [
            *_parts_for_same_value(schema),
            *(_target(schema[name], resolver) for name in _REFERENCES if name in schema),
        ]
        here.add(id(schema), *map(id, same))
        waiting += [*same, *_parts_for_inner_values(schema)]
    _check_unevaluated(list(seen.values()))
    try:
        here.prepare()
    except CycleError:
        raise _unusable("a $ref leads in a circle without going down into the value") from None


def _check_part(schema: dict[str, Any], is_root: bool) -> None:
    if not is_root:
        if isinstance(schema.get("$schema"), str):
            raise _unusable("a part of it has its own $schema")
        if isinstance(address := schema.get("$id"), str) and not address.startswith("#"):
            raise _unusable(f"a part of it has its own $id ({address!r:.80}): refer to it by #/$defs/…")
    patterns = schema.get("patternProperties")
    for pattern in [*(patterns if isinstance(patterns, dict) else ()), schema.get("pattern")]:
        if isinstance(pattern, str):
            compiled(pattern)


def _check_unevaluated(schemas: list[dict[str, Any]]) -> None:
    if any("unevaluatedProperties" in schema for schema in schemas) and any(
        "patternProperties" in schema for schema in schemas
    ):  # the library would match these patterns without a timeout
        raise _unusable("unevaluatedProperties together with patternProperties is not supported")


def _target(reference: Any, resolver: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _unusable(f"$ref {reference!r:.80} leads out of it, and nothing is ever fetched: put the part into $defs")
    try:
        return resolver.lookup(reference).contents
    except (Unresolvable, LookupError, TypeError, ValueError):
        raise _unusable(f"$ref {reference!r:.80} leads nowhere") from None


def _parts_for_same_value(schema: dict[str, Any]) -> Iterator[Any]:
    """The parts that apply to the same value as ``schema`` itself."""
    yield from (schema[name] for name in _SAME_VALUE if name in schema)
    for name in _SAME_VALUE_LISTS:
        yield from schema.get(name, ())
    for name in ("dependentSchemas", "dependencies"):
        yield from schema.get(name, {}).values()


def _parts_for_inner_values(schema: dict[str, Any]) -> Iterator[Any]:
    """The parts that apply to something inside the value, or to a property's name."""
    for name in (*_INNER_VALUE, "prefixItems", "propertyNames"):
        part = schema.get(name)
        yield from part if isinstance(part, list) else (part,)
    for name in _INNER_VALUE_MAPS:
        yield from schema.get(name, {}).values()


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> regex.Pattern[str]:
    r"""Compile a schema's pattern by ECMAScript's rules: ``$`` is the end of the text, ``\d`` and ``\w`` are ASCII.

    Raises:
        DataError: it is not a regular expression, or it is too long.
    """
    if len(pattern) > MAX_PATTERN:
        raise _unusable(f"a pattern is longer than {MAX_PATTERN} characters")
    try:
        check_size(pattern)
    except ValueError as error:
        raise _unusable(str(error)) from None
    try:
        return regex.compile(_to_python(pattern))
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise _unusable(f"the pattern {pattern!r:.80} is not a regular expression ({error})") from None


_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_"}


def _to_python(pattern: str) -> str:
    out, inside, position = [], False, 0
    while position < len(pattern):
        char = pattern[position]
        escaped = pattern[position + 1 : position + 2] if char == "\\" else ""
        if escaped in _CLASSES:
            out.append(_CLASSES[escaped] if inside else f"[{_CLASSES[escaped]}]")
        elif not inside and escaped.lower() in _CLASSES:
            out.append(f"[^{_CLASSES[escaped.lower()]}]")
        elif char == "$" and not inside:
            out.append(r"\Z")
        else:
            out.append(char + escaped)
            inside = (inside or char == "[") and char != "]"
        position += 1 + len(escaped)
    return "".join(out)
