"""The entries of a rubric: verifiers by name, and methods of an environment that are marked as rewards."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeVar, overload

import numpy as np

from .case import Case
from .errors import ConfigError, DataError
from .registry import import_verifier
from .trajectory import POLICY
from .verdict import Verdict

Clip = tuple[float, float]
"""The lowest and the highest score, or total."""
Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__lachesis_reward__"


@dataclass(frozen=True)
class Use:
    """One weighted entry of a rubric, made by ``use``, ``reward`` or ``group_reward``."""

    name: str
    weight: float = 1.0
    label: str = ""
    agent: str = POLICY
    params: dict[str, Any] = field(default_factory=dict)
    gate: bool = False
    clip: Clip | None = None


def use(
    name: str,
    *,
    weight: float = 1.0,
    label: str | None = None,
    agent: str = POLICY,
    gate: bool = False,
    clip: Clip | None = None,
    **params: Any,
) -> Use:
    """Put a verifier into a rubric.

    Args:
        name: a name that ``lachesis envs --verifiers`` lists, or ``module:Class`` for your own.
        weight: factor of its score; 0 makes it a metric.
        label: its name in logs and configs; by default ``name``, or the class of ``module:Class``.
        agent: the agent whose part it judges.
        gate: judge it first; if it fails, all others are skipped, and the total is the rubric's ``gated``. A gate that
            passes adds its weighted score like the others.
        clip: the lowest and the highest score.
        params: the verifier's parameters.

    Raises:
        ConfigError: ``name`` is ``module:Class``, and that cannot be imported.
    """
    if ":" in name:
        import_verifier(name)
    return Use(name, weight, label or name.rpartition(":")[2], agent, params, gate, clip)


@overload
def reward(function: Function, /) -> Function: ...


@overload
def reward(
    *,
    weight: float = 1.0,
    label: str | None = None,
    agent: str = POLICY,
    gate: bool = False,
    clip: Clip | None = None,
) -> Callable[[Function], Function]: ...


def reward(
    function: Callable[..., Any] | None = None,
    /,
    *,
    weight: float = 1.0,
    label: str | None = None,
    agent: str = POLICY,
    gate: bool = False,
    clip: Clip | None = None,
) -> Any:
    """Decorator: add a method ``(self, case) -> float | Verdict`` of an environment, sync or async, to its rubric.

    It works with and without parentheses. The arguments are those of ``use``; a gate passes if its score is above 0.
    """

    def mark(function: Function) -> Function:
        made = Use(function.__name__, weight, label or function.__name__, agent, gate=gate, clip=clip)
        setattr(function, _MARK, (_MethodVerifier, made))
        return function

    return mark if function is None else mark(_method(function, "reward"))


@overload
def group_reward(function: Function, /) -> Function: ...


@overload
def group_reward(
    *, weight: float = 1.0, label: str | None = None, agent: str = POLICY, clip: Clip | None = None
) -> Callable[[Function], Function]: ...


def group_reward(
    function: Callable[..., Any] | None = None,
    /,
    *,
    weight: float = 1.0,
    label: str | None = None,
    agent: str = POLICY,
    clip: Clip | None = None,
) -> Any:
    """Decorator: add a method ``(self, cases) -> [float | Verdict, …]``, sync or async, that judges a group together.

    It works with and without parentheses. The method gets all attempts of a group after all other verifiers have judged
    them (``case.reward``), and returns a score for each, in their order. Attempts without a total, and those where a
    gate failed, are left out.
    """

    def mark(function: Function) -> Function:
        made = Use(function.__name__, weight, label or function.__name__, agent, clip=clip)
        setattr(function, _MARK, (_GroupMethodVerifier, made))
        return function

    return mark if function is None else mark(_method(function, "group_reward"))


def is_reward(value: Any) -> bool:
    """Whether ``value`` is a method that is marked as a reward."""
    return hasattr(value, _MARK)


def _method(function: Any, decorator: str) -> Any:
    if not callable(function):
        raise ConfigError(f"@{decorator} takes settings by name, found {function!r:.80}; write @{decorator}(label=…)")
    return function


def reward_methods(environment: object) -> Iterator[tuple[Use, Any]]:
    """The methods of an environment that are marked as rewards, each with a verifier that calls it."""
    for name, method in inspect.getmembers(type(environment), callable):
        if is_reward(method):
            kind, made = getattr(method, _MARK)
            yield made, kind(getattr(environment, name))


@dataclass(frozen=True)
class _MethodVerifier:
    """A verifier that calls a method of an environment."""

    function: Callable[[Case], Any]

    async def verify(self, case: Case) -> Verdict:
        result = self.function(case)
        return as_verdict(await result if inspect.isawaitable(result) else result, _name(self.function))


@dataclass(frozen=True)
class _GroupMethodVerifier:
    """A group verifier that calls a method of an environment."""

    function: Callable[[Sequence[Case]], Any]

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        results = self.function(cases)
        results = await results if inspect.isawaitable(results) else results
        return [as_verdict(result, _name(self.function)) for result in results]


def as_verdict(result: Any, giver: str) -> Verdict:
    """The verdict that ``result`` stands for: a verdict itself, whether something passed, or a plain number.

    Args:
        result: a ``Verdict``, a bool, or a number, which has no pass mark; scalars of NumPy count, too.
        giver: who gave it, for the message.

    Raises:
        DataError: it is none of these, or not finite.
    """
    if isinstance(result, Verdict):
        return result
    if not isinstance(result, Real | np.bool_):
        raise DataError(f"{giver} gave {result!r:.80}; return a number or a Verdict")
    return Verdict(float(result), graded=not isinstance(result, bool | np.bool_))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", "a reward")
