"""The base of all typed settings, with errors that name the key, the value and the nearest known key."""

import re
import typing
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from .errors import ConfigError, nearest


class Settings(BaseModel):
    """A part of a configuration: frozen, with finite numbers only, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    renamed: ClassVar[dict[str, str]] = {}
    """Old key → what to write instead; the error for an old key says so."""

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would convert: true would be 1, and "0.5" would be 0.5."""
        if isinstance(value, bool | str) and _takes_numbers(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("a number is needed, without quotation marks")
        return value


Model = TypeVar("Model", bound=BaseModel)

_DEEPEST = 50
"""The most levels of tables and lists in settings; what writes them is recursive."""


def validated(model: type[Model], values: dict[str, Any], what: str, options: Sequence[str] = ()) -> Model:
    """Validate ``values`` as a ``model``.

    Args:
        model: the settings.
        values: what they are made of.
        what: where the values are from.
        options: the dotted keys of those values that options of the command line gave instead, in their order.

    Raises:
        ConfigError: the first fault, with its dotted key, the value and the cure; the message begins with the option
            that gave the value, or else with ``what``.
    """
    for key, text in _texts(values, ()):
        if "\0" in text or text.encode("utf-8", "replace").decode() != text:
            reason = "a character cannot be stored (NUL, or no UTF-8)"
            raise ConfigError(f"{_fault(what, options, key, reason)}, found {text!r:.80}")
    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        path = [str(part) for part in fault["loc"]]
        key = ".".join(path)
        if fault["type"] == "extra_forbidden":
            inner = _model_at(model, path[:-1])
            place = next((f"--{option}" for option in options if f"{option}.".startswith(f"{key}.")), None)
            place = place or _place(what, options, key)
            if inner and (new := getattr(inner, "renamed", {}).get(path[-1])):
                raise ConfigError(f"{place}: {key!r} has another name now: write {new}") from None
            known = list(inner.model_fields) if inner else []
            raise ConfigError(f"{place}: unknown key {key!r}; {nearest(path[-1], known)}") from None
        if fault["type"] == "missing":
            raise ConfigError(f"{_place(what, options, key)}: {key!r} is missing; give it a value") from None
        reason = fault["msg"].removeprefix("Value error, ")
        if not path:  # the values are valid one by one but not together: the model's own validator raised
            raise ConfigError(f"{together(what, options, reason)}: {reason}") from None
        raise ConfigError(f"{_fault(what, options, key, reason)}, found {fault['input']!r:.80}") from None


def together(what: str, options: Sequence[str], reason: str) -> str:
    """Return where values that do not go together are from: ``what``, and the ``options`` that ``reason`` names."""
    named = [f"--{option}" for option in options if re.search(rf"\b{re.escape(option.split('.')[-1])}\b", reason)]
    return f"{what} with {' and '.join(dict.fromkeys(named))}" if named else what


def _place(what: str, options: Sequence[str], key: str) -> str:
    """Where the value of ``key`` is from: the option that gave it or a table around it, or else ``what``."""
    return next((f"--{option}" for option in reversed(options) if f"{key}.".startswith(f"{option}.")), what)


def _fault(what: str, options: Sequence[str], key: str, reason: str) -> str:
    """The message about the value of ``key``, or about values inside it that do not go together."""
    place = _place(what, options, key)
    if place == f"--{key}":
        return f"{place}: {reason}"
    if place == what:
        place = together(what, [option for option in options if option.startswith(f"{key}.")], reason)
    return f"{place}: {key!r}: {reason}"


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every text in ``value``, keys included, with its dotted key."""
    key = ".".join(path)
    if isinstance(value, str):
        yield key, value
    if not isinstance(value, dict | list | tuple):
        return
    if len(path) > _DEEPEST:
        raise ConfigError(f"{key:.80}…: settings are nested at most {_DEEPEST} levels deep; make them flatter")
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(name, str):
            yield key, name
        yield from _texts(inner, (*path, str(name)))


def _takes_numbers(annotation: Any) -> bool:
    """Whether ``annotation`` is a number, or a number and None."""
    if typing.get_origin(annotation) not in (None, typing.Union, UnionType):
        return False
    return set(typing.get_args(annotation) or (annotation,)) <= {int, float, NoneType} and annotation is not NoneType


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """The settings model at ``path`` inside ``model``, None where there is none."""
    for part in path:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``list[Model]`` or ``Model | None``; None if there is none."""
    parts = typing.get_args(annotation)
    if parts:
        return next((found for part in parts if (found := _model_in(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
