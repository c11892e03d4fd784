"""Verifiers by name: the built-in ones, those of installed packages, and those that user code registers."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from .case import Case
from .errors import ConfigError, LachesisError, nearest
from .plugins import Plugins
from .verdict import Verdict

ENTRY_POINTS = "lachesis.verifiers"
"""The entry-point group in which an installed package offers verifier classes."""


class Verifier(Protocol):
    """Judges one case. A verifier is a frozen dataclass whose fields are its parameters.

    The first line of its docstring says when it passes. The section ``Example:`` holds rows in the format of
    ``lachesis verify``, each followed by its score; a row may span several lines, and a test runs all of them::

        Example:
            {"verifier": "exact", "completion": "Paris", "answer": "paris", "params": {"ignore_case": true}} -> 1.0

    Two class attributes are optional: ``instances`` (a tuple of texts) names the distinct verifiers that one family
    offers through its parameters, and ``needs_sandbox = True`` says that it runs programs which the policy wrote. Three
    methods are optional, too. ``async def self_check(self, answer) -> str``, which ``lachesis check`` asks for every
    expected answer, returns why that answer cannot verify itself, or an empty text. ``def check_expected(self, answer,
    info)`` raises ``DataError`` if the task's answer, or what the task's ``info`` adds to it, cannot be used; it is
    called for every task when it is drawn, so it must be fast. ``async def check_sandbox(self, sandbox)``, which is
    called before the first rollout, raises ``ConfigError`` if the sandbox lacks the tools that it needs.
    """

    async def verify(self, case: Case) -> Verdict:
        """Return the verdict; a failure that the completion did not cause is an ``infra_error``."""
        ...


VerifierClass = TypeVar("VerifierClass", bound=type)
MakeVerifier = Callable[..., Verifier]
BUILT_IN = Plugins[MakeVerifier](
    "verifier",
    __package__ or "",
    {
        "answer_form": "text.answer_form:AnswerForm",
        "bfcl": "tool_calling.bfcl:Bfcl",
        "choice": "text.choices.choice:Choice",
        "code": "code.solution:Code",
        "consistency": "text.peers:Consistency",
        "date": "text.date:Date",
        "edit_distance": "text.similarity:EditDistance",
        "efficiency": "agentic.conduct:Efficiency",
        "error_recovery": "agentic.conduct:ErrorRecovery",
        "exact": "text.matching:Exact",
        "f1": "text.overlap:F1",
        "format": "text.think:Format",
        "goal_alignment": "agentic.conduct:GoalAlignment",
        "instruction": "text.instructions.instruction:InstructionFollowing",
        "json_answer": "text.json_answer:JsonAnswer",
        "json_repair": "text.json_repair:JsonRepair",
        "json_schema": "text.structure:JsonSchema",
        "judge": "judges.judge:Judge",
        "length": "text.length:Length",
        "list": "text.collection:ListAnswer",
        "majority": "text.peers:Majority",
        "math": "math.answer:Math",
        "number": "text.matching:Number",
        "pairwise": "judges.pairwise:Pairwise",
        "preference": "judges.pairwise:Preference",
        "refusal": "judges.refusal:Refusal",
        "regex": "text.pattern:Regex",
        "relative_length": "text.peers:RelativeLength",
        "repetition": "text.repetition:Repetition",
        "reward_model": "judges.reward_model:RewardModel",
        "rouge": "text.similarity:Rouge",
        "set": "text.collection:SetAnswer",
        "sql": "sql.result:Sql",
        "task_completion": "agentic.completion:TaskCompletion",
        "tool_accuracy": "agentic.conduct:ToolAccuracy",
        "tool_calls": "tool_calling.tool_calls:ToolCalls",
        "units": "units.answer:Units",
    },
)
_CLASSES: dict[str, MakeVerifier] = {}
"""Every verifier that has been imported, by its name."""


def verifier(name: str) -> Callable[[VerifierClass], VerifierClass]:
    """Class decorator that registers a verifier under ``name``."""

    def register(cls: VerifierClass) -> VerifierClass:
        if _CLASSES.setdefault(name, cls) is not cls:
            raise ConfigError(f"two verifiers are named {name!r}: {_CLASSES[name]} and {cls}; rename one")
        return cls

    return register


def import_verifier(name: str) -> None:
    """Import the verifier ``module:Class`` and register it under that name.

    Only code may call this, as ``use`` does. A name in a data file must never import a module, so ``verifier_class``
    knows such a name only after this call.

    Raises:
        ConfigError: the module or the class cannot be imported.
    """
    if name not in _CLASSES:
        _CLASSES[name] = BUILT_IN.load(name)


def known_verifiers() -> list[str]:
    """The names that ``make_verifier`` accepts."""
    return sorted({*imported_verifiers(), *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def imported_verifiers() -> list[str]:
    """The built-in names and those that are already imported: looking them up runs no code of an installed package."""
    return sorted({*BUILT_IN.names, *_CLASSES})


def verifier_class(name: str) -> MakeVerifier:
    """The class registered under ``name``; its fields are the verifier's parameters.

    Raises:
        ConfigError: the name is unknown; the message suggests the nearest one.
    """
    if name not in _CLASSES:
        found = BUILT_IN.load(name) if name in BUILT_IN.names else _load_installed(name)
        _CLASSES.setdefault(name, found)
    return _CLASSES[name]


def make_verifier(name: str, params: dict[str, Any]) -> Verifier:
    """Make the verifier ``name`` with the parameters ``params``.

    Raises:
        ConfigError: the name or a parameter is unknown, or a value is not possible; the message suggests the cure.
    """
    cls: Any = verifier_class(name)
    known = {field.name for field in fields(cls)} if is_dataclass(cls) else None
    for param in params:
        if known is not None and param not in known:
            raise ConfigError(f"verifier {name!r} has no parameter {param!r}; {nearest(param, known)}")
    for field in fields(cls) if known else ():
        for kind, what in ((bool, "true or false"), (str, "text")):  # the text "false" would count as true
            if field.type in (kind, kind.__name__) and not isinstance(params.get(field.name, kind()), kind):
                raise ConfigError(f"verifier {name!r}: {field.name} is {what}, found {params[field.name]!r:.80}")
    try:
        made: Verifier = cls(**params)
    except LachesisError:
        raise
    except Exception as error:  # noqa: BLE001 - a verifier's own checks may get values of any type and raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"verifier {name!r} cannot be made with {params!r:.200}: {reason}") from None
    return made


def _load_installed(name: str) -> MakeVerifier:
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            try:
                found: MakeVerifier = entry.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"verifier {name!r} ({entry.value}) does not import: {error}") from error
            return found
    raise ConfigError(f"no verifier is named {name!r}; {nearest(name, known_verifiers())}")
