"""Validation of values against JSON schemas, within bounds and without network access."""

import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

import jsonschema
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..errors import DataError
from .schema_shape import check_shape, compiled
from .text import MAX_DEPTH, is_deeper, json_key

Kind = Literal["type", "missing", "unknown", "value", "limit"]

MAX_FAULTS = 50
"""How many faults are reported at most."""
CPU_SECONDS = 1.0
"""CPU seconds of one check; time spent waiting for a CPU does not count."""


@dataclass(frozen=True)
class Fault:
    """One violation of a schema.

    Attributes:
        path: where in the value, as ``$.a[0].b``; for a missing or unknown property, the path of that property.
        kind: ``type``, ``missing``, ``unknown`` (a property that the schema does not allow), ``value`` (any other
            requirement), or ``limit`` (the value is too deep, or the check took too long).
        message: one line for people.
    """

    path: str
    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check_schema(schema: Any) -> None:
    """Check that ``schema`` is a valid JSON schema that can be used safely.

    Raises:
        DataError: it is not valid in the draft that its ``$schema`` names (2020-12 by default), it is too deep or too
            large, a ``$ref`` points outside, nowhere or in a circle, or a pattern is not a regular expression.
    """
    _validator(_as_text(schema), True)


def faults(instance: Any, schema: Any, *, whole_floats: bool = True) -> list[Fault]:
    """The violations of ``schema`` in ``instance``; empty if it is valid.

    ``format`` is an annotation and is not checked, as the specification says. Patterns use ECMAScript's syntax.

    Args:
        instance: the JSON value.
        schema: the JSON schema.
        whole_floats: whether 1.0 is an integer, as in the specification since draft 6; if not, it is only a number.

    Raises:
        DataError: as in ``check_schema``.
    """
    validator = _validator(_as_text(schema), whole_floats)
    if is_deeper(instance, MAX_DEPTH):
        return [Fault("$", "limit", f"nested deeper than {MAX_DEPTH}")]
    token = _deadline.set(time.thread_time() + CPU_SECONDS)
    try:
        return [_fault(error) for error in islice(validator.iter_errors(instance), MAX_FAULTS)]
    except (_OutOfTime, TimeoutError):
        return [Fault("$", "limit", f"the check took more than {CPU_SECONDS:g} s of CPU time")]
    except RecursionError:
        return [Fault("$", "limit", "nested too deeply for this schema")]
    except Unresolvable as error:
        raise DataError(f"a $ref of the JSON schema leads nowhere: {error!s:.100}; repair the schema") from None
    finally:
        _deadline.reset(token)


_deadline: ContextVar[float] = ContextVar("deadline")


class _OutOfTime(Exception):
    """The check has used all of its CPU time."""


def _remaining_seconds() -> float:
    """The CPU seconds that the check has left."""
    left = _deadline.get() - time.thread_time()
    if left <= 0:
        raise _OutOfTime
    return left


def _as_text(schema: Any) -> str:
    if not isinstance(schema, dict | bool):
        raise DataError(f"a JSON schema is an object or a boolean, found {schema!r:.80}; repair the dataset")
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"a JSON schema is JSON: {error!s:.100}; repair the dataset") from None


@lru_cache(maxsize=512)
def _validator(text: str, whole_floats: bool) -> Any:
    """A validator for the schema, which has been checked."""
    schema = json.loads(text)
    named = schema.get("$schema") if isinstance(schema, dict) else None
    draft = jsonschema.validators.validator_for({"$schema": named}, default=jsonschema.Draft202012Validator)
    check_shape(schema, draft)
    return _validator_class(draft, whole_floats)(schema, registry=Registry())


@lru_cache(maxsize=16)
def _validator_class(draft: Any, whole_floats: bool) -> Any:
    """The draft's validator class: each keyword checks the CPU time, and unsuitable keywords are replaced.

    Those are the ones in which the library is wrong or slow, or uses ``re``, which has no timeout.
    """
    known = dict(draft.VALIDATORS)
    known |= {name: function for name, function in _REPLACED.items() if name in known}
    types = draft.TYPE_CHECKER
    if not whole_floats:
        types = types.redefine("integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool))
    counted = {name: _with_time_check(function) for name, function in known.items()}
    return jsonschema.validators.extend(draft, validators=counted, type_checker=types)


def _with_time_check(function: Callable[..., Any]) -> Callable[..., Any]:
    def keyword(*args: Any) -> Any:
        _remaining_seconds()
        return function(*args)

    return keyword


def _fault(error: ValidationError) -> Fault:
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    message = error.message if len(error.message) <= 200 else error.message[:197] + "..."
    return Fault(path[:200], _kind(error), message)


def _kind(error: ValidationError) -> Kind:
    keyword = error.validator
    if keyword == "type" or (
        keyword in ("anyOf", "oneOf") and error.context and all(_is_type_here(inner) for inner in error.context)
    ):
        return "type"
    if keyword in ("required", "dependentRequired", "dependencies"):
        return "missing"
    return "unknown" if keyword in _UNKNOWN else "value"


def _is_type_here(error: ValidationError) -> bool:
    return error.validator == "type" and not error.relative_path


_UNKNOWN = ("additionalProperties", "unevaluatedProperties", "propertyNames", "properties")
"""Keywords that forbid a property; ``properties`` does so only with the schema ``false``."""


def _properties(validator: Any, rules: dict[str, Any], instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name, rule in rules.items():
            if name in instance and rule is False:  # the library would omit the path
                yield ValidationError(f"{name!r} is not allowed", path=[name])
            elif name in instance:
                yield from validator.descend(instance[name], rule, path=name, schema_path=name)


def _required(validator: Any, names: list[str], instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in names:
            if name not in instance:
                yield ValidationError(f"{name!r} is missing", path=[name])


def _additional(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in known or any(_matches_pattern(pattern, name) for pattern in patterns):
            continue
        if rule is False:
            yield ValidationError(f"{name!r} is not among {list(known)!r:.100}", path=[name])
        else:
            yield from validator.descend(value, rule, path=name)


def _pattern_properties(validator: Any, rules: dict[str, Any], instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, rule in rules.items():
            for name, value in instance.items():
                if _matches_pattern(pattern, name):
                    yield from validator.descend(value, rule, path=name, schema_path=pattern)


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matches_pattern(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _matches_pattern(pattern: str, text: str) -> bool:
    return compiled(pattern).search(text, timeout=_remaining_seconds()) is not None


def _multiple_of(validator: Any, step: float, instance: Any, _: Any) -> Iterator[ValidationError]:
    # as decimal numbers, so that 0.3 is a multiple of 0.1
    if validator.is_type(instance, "number") and (Fraction(str(instance)) / Fraction(str(step))).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {step}")


def _unique(validator: Any, wanted: bool, instance: Any, _: Any) -> Iterator[ValidationError]:
    if wanted and validator.is_type(instance, "array") and len(set(map(json_key, instance))) < len(instance):
        yield ValidationError("an element occurs twice")


_REPLACED: dict[str, Callable[..., Any]] = {
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "patternProperties": _pattern_properties,
    "pattern": _pattern,
    "multipleOf": _multiple_of,
    "uniqueItems": _unique,
}
