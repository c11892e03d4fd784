"""What a rubric is made of: verifiers by name, and an environment's methods that are marked as rewards."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from .case import Case
from .errors import DataError
from .registry import import_verifier
from .trajectory import POLICY
from .verdict import Verdict

Clip = tuple[float, float]
"""The lowest and the highest score, or total."""
Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__lachesis_reward__"


@dataclass(frozen=True)
class Use:
    """One weighted entry of a rubric. Made by ``use``, ``reward`` and ``group_reward``."""

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
        gate: judge it first; where it does not pass, all others are skipped, and the total is the rubric's ``gated``. A
            gate that passes earns its weight like the others.
        clip: the lowest and the highest score.
        params: the verifier's parameters.

    Raises:
        ConfigError: ``name`` is ``module:Class``, and that cannot be imported.
    """
    if ":" in name:
        import_verifier(name)
    return Use(name, weight, label or name.rpartition(":")[2], agent, params, gate, clip)


def reward(
    *,
    weight: float = 1.0,
    label: str | None = None,
    agent: str = POLICY,
    gate: bool = False,
    clip: Clip | None = None,
) -> Callable[[Function], Function]:
    """Make a method ``(self, case) -> float | Verdict`` of an environment, sync or async, a part of its reward.

    The arguments are those of ``use``; a gate passes with a score above 0.
    """

    def mark(function: Function) -> Function:
        made = Use(function.__name__, weight, label or function.__name__, agent, gate=gate, clip=clip)
        setattr(function, _MARK, (_OneByOne, made))
        return function

    return mark


def group_reward(
    *, weight: float = 1.0, label: str | None = None, agent: str = POLICY, clip: Clip | None = None
) -> Callable[[Function], Function]:
    """Make a method ``(self, cases) -> [float | Verdict, …]``, sync or async, a part of the reward.

    It sees the attempts of one group together, judged by all else (``case.reward``), and gives a score for each, in
    their order. Attempts that could not be judged, or that a gate stopped, are not among them.
    """

    def mark(function: Function) -> Function:
        made = Use(function.__name__, weight, label or function.__name__, agent, clip=clip)
        setattr(function, _MARK, (_Together, made))
        return function

    return mark


def marked(environment: object) -> Iterator[tuple[Use, Any]]:
    """The marked methods of an environment, each with a verifier that calls it."""
    for name, method in inspect.getmembers(type(environment), callable):
        if hasattr(method, _MARK):
            kind, made = getattr(method, _MARK)
            yield made, kind(getattr(environment, name))


@dataclass(frozen=True)
class _OneByOne:
    """A verifier made of an environment's own method."""

    function: Callable[[Case], Any]

    async def verify(self, case: Case) -> Verdict:
        result = self.function(case)
        return _as_verdict(await result if inspect.isawaitable(result) else result, self.function)


@dataclass(frozen=True)
class _Together:
    """A verifier of groups made of an environment's own method."""

    function: Callable[[Sequence[Case]], Any]

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        results = self.function(cases)
        results = await results if inspect.isawaitable(results) else results
        return [_as_verdict(result, self.function) for result in results]


def _as_verdict(result: Any, function: Callable[..., Any]) -> Verdict:
    if isinstance(result, Verdict):
        return result
    if not isinstance(result, Real | np.bool_):
        name = getattr(function, "__qualname__", "a reward")
        raise DataError(f"{name} gave {result!r:.80}; a reward is a number or a Verdict")
    return Verdict(float(result), graded=not isinstance(result, bool | np.bool_))  # NumPy's and torch's scalars too
