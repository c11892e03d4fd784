"""Verifiers by name: the built-in ones, imported on first use, and those of installed packages."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from .case import Case
from .errors import ConfigError, LachesisError, nearest
from .verdict import Verdict

ENTRY_POINTS = "lachesis.verifiers"
"""The entry-point group in which a package offers verifier classes."""

_BUILT_IN = {
    "answer_form": "text.answer_form",
    "bfcl": "tool_calling.bfcl",
    "choice": "text.choices.choice",
    "code": "code.solution",
    "efficiency": "agentic.conduct",
    "error_recovery": "agentic.conduct",
    "exact": "text.matching",
    "f1": "text.overlap",
    "format": "text.think",
    "goal_alignment": "agentic.conduct",
    "instruction": "text.instructions.instruction",
    "json_answer": "text.json_answer",
    "json_schema": "text.structure",
    "length": "text.length",
    "list": "text.collection",
    "majority": "text.peers",
    "math": "math.answer",
    "number": "text.matching",
    "regex": "text.pattern",
    "relative_length": "text.peers",
    "repetition": "text.repetition",
    "set": "text.collection",
    "task_completion": "agentic.completion",
    "tool_accuracy": "agentic.conduct",
    "tool_calls": "tool_calling.tool_calls",
}


class Verifier(Protocol):
    """Judges one case. A verifier is a frozen dataclass whose fields are its parameters.

    The first line of its docstring says when it passes. Under ``Example:`` stand one or more rows as
    ``lachesis verify`` takes them, each over as many lines as it needs, with the score that it gets; a test runs all::

        Example:
            {"verifier": "exact", "completion": "Paris", "answer": "paris", "params": {"ignore_case": true}} -> 1.0

    Two class attributes may say more: ``instances`` (a tuple of texts) names the distinct verifiers that its parameters
    make of one family, and ``needs_sandbox = True`` that it runs programs of the policy's.
    """

    async def verify(self, case: Case) -> Verdict:
        """Return the verdict; what the completion causes is a status, what we cause is ``infra_error``."""
        ...


VerifierClass = TypeVar("VerifierClass", bound=type)
_CLASSES: dict[str, Callable[..., Verifier]] = {}


def verifier(name: str) -> Callable[[VerifierClass], VerifierClass]:
    """Class decorator: make the verifier known by ``name``."""

    def register(cls: VerifierClass) -> VerifierClass:
        if _CLASSES.setdefault(name, cls) is not cls:
            raise ConfigError(f"two verifiers are named {name!r}: {_CLASSES[name]} and {cls}; rename one")
        return cls

    return register


def known_verifiers() -> list[str]:
    """The names that ``make_verifier`` takes."""
    return sorted({*_BUILT_IN, *_CLASSES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def imported_verifiers() -> list[str]:
    """The built-in names, and those whose module something has imported: to look at them runs no package's code."""
    return sorted({*_BUILT_IN, *_CLASSES})


def verifier_class(name: str) -> Callable[..., Verifier]:
    """The class behind a name, whose fields are its parameters.

    Raises:
        ConfigError: the name is not known; the message names the nearest.
    """
    if name not in _CLASSES:
        _load(name)
    return _CLASSES[name]


def make_verifier(name: str, params: dict[str, Any]) -> Verifier:
    """Build the verifier ``name`` with ``params``.

    Raises:
        ConfigError: the name or a parameter is not known; the message names the nearest.
    """
    cls: Any = verifier_class(name)
    known = {field.name for field in fields(cls)} if is_dataclass(cls) else None
    for param in params:
        if known is not None and param not in known:
            raise ConfigError(f"verifier {name!r} has no parameter {param!r}; {nearest(param, known)}")
    for field in fields(cls) if known else ():
        for kind, what in ((bool, "true or false"), (str, "text")):  # "false" would be taken for true
            if field.type in (kind, kind.__name__) and not isinstance(params.get(field.name, kind()), kind):
                raise ConfigError(f"verifier {name!r}: {field.name} is {what}, found {params[field.name]!r:.80}")
    try:
        made: Verifier = cls(**params)
    except LachesisError:
        raise
    except Exception as error:  # noqa: BLE001 - a verifier's own checks may meet values of any type and raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"verifier {name!r} cannot be made with {params!r:.200}: {reason}") from None
    return made


def _load(name: str) -> None:
    if name in _BUILT_IN:
        import_module(f".{_BUILT_IN[name]}", __package__)
        return
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            try:
                _CLASSES.setdefault(name, entry.load())
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"verifier {name!r} ({entry.value}) does not import: {error}") from error
            return
    raise ConfigError(f"no verifier is named {name!r}; {nearest(name, known_verifiers())}")
