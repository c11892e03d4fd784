"""Weighted verifiers: what an environment means by good."""

import asyncio
import inspect
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, TypeVar

from .case import Case
from .errors import ConfigError, DataError, nearest
from .registry import Verifier, make_verifier
from .reward import Component, Reward
from .trajectory import POLICY
from .verdict import Verdict, infra_error

Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__lachesis_reward__"


@dataclass(frozen=True)
class Use:
    """One weighted entry of a rubric, by the verifier's name. Made by ``use``."""

    name: str
    weight: float = 1.0
    label: str = ""
    agent: str = POLICY
    params: dict[str, Any] = field(default_factory=dict)


def use(name: str, *, weight: float = 1.0, label: str | None = None, agent: str = POLICY, **params: Any) -> Use:
    """Use the registered verifier ``name`` with ``weight``; ``label`` (default: its name) is what logs and configs say.

    A weight of 0 makes it a metric. ``params`` are the verifier's own.
    """
    return Use(name, weight, label or name, agent, params)


def reward(*, weight: float = 1.0, label: str | None = None, agent: str = POLICY) -> Callable[[Function], Function]:
    """Make a method ``(self, case) -> float | Verdict`` of an environment, sync or async, a part of its reward."""

    def mark(function: Function) -> Function:
        setattr(function, _MARK, Use(function.__name__, weight, label or function.__name__, agent))
        return function

    return mark


@dataclass(frozen=True)
class _Function:
    """A verifier made of an environment's own method."""

    function: Callable[[Case], Any]

    async def verify(self, case: Case) -> Verdict:
        result = self.function(case)
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, Verdict):
            return result
        if not isinstance(result, Real):
            name = getattr(self.function, "__qualname__", "a reward")
            raise DataError(f"{name} gave {result!r:.80}; a reward is a number or a Verdict")
        return Verdict(float(result))  # numpy's and torch's scalars too


@dataclass(frozen=True)
class _Entry:
    use: Use
    verifier: Verifier


class Rubric:
    """Verifiers with weights and unique labels.

    Args:
        uses: what ``use`` returns, in the order in which they are logged.
        deadline: seconds that one verifier may take before its verdict is an ``infra_error``.

    Raises:
        ConfigError: a verifier, a parameter or a label that cannot be.
    """

    def __init__(self, *uses: Use, deadline: float = 60.0) -> None:
        self.deadline = deadline
        self._entries = tuple(_Entry(entry, make_verifier(entry.name, entry.params)) for entry in uses)
        self._check_entries()

    @property
    def weights(self) -> dict[str, float]:
        """Label → weight."""
        return {entry.use.label: entry.use.weight for entry in self._entries}

    @property
    def agents(self) -> set[str]:
        """Whose parts it judges."""
        return {entry.use.agent for entry in self._entries}

    def with_methods(self, environment: object) -> "Rubric":
        """This rubric and the methods of ``environment`` that ``@reward`` marks."""
        marked = [
            _Entry(getattr(method, _MARK), _Function(getattr(environment, name)))
            for name, method in inspect.getmembers(type(environment), callable)
            if hasattr(method, _MARK)
        ]
        return self._with(self._entries + tuple(marked))

    def with_weights(self, weights: Mapping[str, float]) -> "Rubric":
        """This rubric with other weights, by label; an unknown label is an error."""
        for label in weights:
            if label not in self.weights:
                raise ConfigError(f"the rubric has no label {label!r}; {nearest(label, self.weights)}")
        return self._with(
            replace(entry, use=replace(entry.use, weight=weights.get(entry.use.label, entry.use.weight)))
            for entry in self._entries
        )

    async def judge(self, case: Case) -> Reward:
        """Every verdict on one agent's part, in order."""
        entries = [entry for entry in self._entries if entry.use.agent == case.agent]
        verdicts = [await self._verdict(entry.verifier, case) for entry in entries]
        return Reward(
            tuple(
                Component(entry.use.label, entry.use.weight, verdict)
                for entry, verdict in zip(entries, verdicts, strict=True)
            )
        )

    async def _verdict(self, verifier: Verifier, case: Case) -> Verdict:
        start = time.perf_counter()
        clock = asyncio.timeout(self.deadline)
        try:
            async with clock:
                verdict = await verifier.verify(case)
                if not isinstance(verdict, Verdict):
                    raise TypeError(f"a verifier returns a Verdict, found {verdict!r:.80}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a verifier that raises has judged nothing: that must not become a score
            where = traceback.extract_tb(error.__traceback__)[-1]
            verdict = infra_error(f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})")
            if clock.expired():
                verdict = infra_error(f"the verifier took more than its {self.deadline:g} s")
        return replace(verdict, elapsed=time.perf_counter() - start)

    def _with(self, entries: Iterable[_Entry]) -> "Rubric":
        other = Rubric(deadline=self.deadline)
        other._entries = tuple(entries)
        other._check_entries()
        return other

    def _check_entries(self) -> None:
        labels = [entry.use.label for entry in self._entries]
        for label, entry in zip(labels, self._entries, strict=True):
            if not math.isfinite(entry.use.weight):
                raise ConfigError(f"the weight of reward {label!r} is finite, found {entry.use.weight!r}")
            if labels.count(label) > 1:
                raise ConfigError(f"two rewards are labelled {label!r}; give one of them another label=")
