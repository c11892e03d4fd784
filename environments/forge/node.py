"""A node of a graph: a transformation of a record, with what must hold before it and after it."""

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from ...verifiers.errors import ConfigError
from .ask import Ask
from .fields import Fields, Record, check_fields, misfit
from .walk import Call

Condition = Callable[[Record], bool]
SOURCE, TARGET = "source", "target"
"""Where every walk begins and ends; no node may have these names."""


class PostconditionFailed(Exception):
    """This try at a node made nothing that can be used; the text says why. The node is tried again, if it may be."""


@dataclass
class Try:
    """One try at a node.

    Attributes:
        rng: the random numbers of this try.
        ask: asks models.
        place: the node's name, after those of the graphs around it.
        calls: the model calls of this try; nodes append to it.
        path: the places inside a graph that this try visited.
    """

    rng: Random
    ask: Ask
    place: str
    calls: list[Call] = field(default_factory=list)
    path: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Node(ABC):
    """A transformation of some fields of a record into others.

    ``takes`` and ``precondition`` are its preconditions, ``gives`` and ``postcondition`` its postconditions.

    Attributes:
        name: unique in its graph.
        takes: the fields that it needs; it sees no others.
        gives: the fields that it adds or replaces.
        precondition: whether it can be used on a record, of which it gets the fields in ``takes``; otherwise the walk
            takes another edge.
        postcondition: whether its result can be used; it gets the fields in ``takes`` and ``gives``.
        tries: most tries until the postconditions hold; then the walk ends.
        weight: how often its edge is chosen, compared with others from the same node.

    Raises:
        ConfigError: one of these is impossible.
    """

    name: str
    takes: Fields
    gives: Fields
    precondition: Condition | None = None
    postcondition: Condition | None = None
    tries: int = 3
    weight: float = 1.0

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not name.isprintable() or not name.strip() or "/" in name:
            raise ConfigError(f"a node's name is text in one line without '/', found {name!r:.80}")
        if name in (SOURCE, TARGET):
            raise ConfigError(f"no node may be called {name!r}, which is where walks begin or end; choose another name")
        check_fields(self.takes, f"node {name!r}: takes")
        check_fields(self.gives, f"node {name!r}: gives")
        if not self.gives:
            raise ConfigError(f"node {name!r} gives nothing; name the fields that it adds, as in gives={{'text': str}}")
        for kind in ("precondition", "postcondition"):
            if (condition := getattr(self, kind)) is not None and not callable(condition):
                raise ConfigError(f"node {name!r}: the {kind} is a function of a record, found {condition!r:.80}")
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or self.tries < 1:
            raise ConfigError(f"node {name!r}: tries is a whole number of at least 1, found {self.tries!r:.80}")
        weight: Any = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise ConfigError(f"node {name!r}: weight is a number above 0, found {weight!r:.80}")

    @property
    def trains(self) -> bool:
        """Whether a model call in it may be trained on."""
        return False

    @property
    def asks(self) -> frozenset[str]:
        """The agents that its model calls are for."""
        return frozenset()

    @abstractmethod
    async def apply(self, record: Record, attempt: Try) -> Mapping[str, Any]:
        """The fields that it gives.

        Args:
            record: a copy of the fields in ``takes``.
            attempt: this try.

        Raises:
            PostconditionFailed: this try made nothing that can be used.
        """

    def seen(self, record: Record) -> Record:
        """The fields of ``record`` that the node sees: a copy, which it may change."""
        return {name: copy.deepcopy(record[name]) for name in self.takes}

    def allows(self, record: Record) -> bool:
        """Whether the precondition holds."""
        return self.precondition is None or bool(self.precondition(self.seen(record)))

    def fault(self, before: Record, given: Any) -> str:
        """Why the fields ``given`` break a postcondition, in one line; empty if they break none."""
        if not isinstance(given, Mapping):
            return f"it gave {given!r:.80} instead of a table of fields"
        if odd := next((name for name in given if name not in self.gives), None):
            return f"it gave the field {odd!r:.80}, which its gives does not declare"
        if wrong := misfit(given, self.gives):
            return wrong
        if self.postcondition is not None and not self.postcondition({**before, **given}):
            return "the postcondition does not hold"
        return ""


@dataclass(frozen=True, kw_only=True)
class FunctionNode(Node):
    """A node that is a function.

    Attributes:
        function: takes a record and random numbers, and returns the fields that it gives; sync or async.
    """

    function: Callable[[Record, Random], Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise ConfigError(f"node {self.name!r}: the function is a function, found {self.function!r:.80}")

    async def apply(self, record: Record, attempt: Try) -> Mapping[str, Any]:
        """What the function returns."""
        given = self.function(record, attempt.rng)
        return await given if inspect.isawaitable(given) else given  # type: ignore[no-any-return]


Function = TypeVar("Function", bound=Callable[[Record, Random], Any])


def node(*, takes: Fields, gives: Fields, name: str = "", **settings: Any) -> Callable[[Function], FunctionNode]:
    """Decorator: a function ``(record, rng) -> fields``, sync or async, becomes a node that is called as the function.

    Args:
        takes: the fields that it needs.
        gives: the fields that it returns.
        name: instead of the function's.
        settings: ``precondition``, ``postcondition``, ``tries`` and ``weight``, as in ``Node``.
    """

    def make(function: Function) -> FunctionNode:
        return FunctionNode(name=name or function.__name__, takes=takes, gives=gives, function=function, **settings)

    return make
