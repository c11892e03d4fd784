"""The edges of a graph: where a node's postconditions satisfy the preconditions of another, checked from end to end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ...verifiers.errors import ConfigError, nearest
from .fields import TYPES, Fields, accepts, described
from .node import SOURCE, TARGET, Node

Edges = dict[str, tuple[str, ...]]
"""Node → the nodes that may follow it; also of ``SOURCE``, and with ``TARGET`` among the followers."""


def edges_of(name: str, nodes: Sequence[Node], takes: Fields, gives: Fields, listed: object) -> Edges:
    """The edges of a graph.

    Args:
        name: of the graph, for messages.
        nodes: of the graph.
        takes: the fields of its documents.
        gives: the fields that are left at its target.
        listed: node → the names of its followers; None to derive them. A derived edge leads from a node to another that
            takes something that the first gives, if all else that it takes is in the record on every path.

    Raises:
        ConfigError: there is a cycle, a node that cannot be reached or left, or one that does not get what it takes.
    """
    points = {SOURCE: _Point({}, takes), **{node.name: _Point(node.takes, node.gives) for node in nodes}}
    points[TARGET] = _Point(gives, {})
    plan = _Plan(f"graph {name!r}", points, listed is None)
    wanted = plan.candidates() if listed is None else plan.listed(listed)
    return plan.checked(wanted)


@dataclass(frozen=True)
class _Point:
    takes: Fields
    gives: Fields


@dataclass(frozen=True)
class _Plan:
    where: str
    points: Mapping[str, _Point]
    derived: bool

    def candidates(self) -> list[tuple[str, str]]:
        """Every pair of points of which the second takes something that the first gives."""
        return [
            (one, other)
            for one, before in self.points.items()
            for other, after in self.points.items()
            if one != other and (one, other) != (SOURCE, TARGET) and _passes(before.gives, after.takes)
        ]

    def listed(self, listed: object) -> list[tuple[str, str]]:
        """The pairs that the author listed."""
        if not isinstance(listed, Mapping):
            raise ConfigError(f"{self.where}: edges are a table from node to nodes, found {listed!r:.80}")
        found = []
        for one, others in listed.items():
            if isinstance(others, str) or not isinstance(others, Iterable):
                raise ConfigError(f"{self.where}: the followers of {one!r} are a list of names, found {others!r:.80}")
            for other in others:
                for end, never in ((one, TARGET), (other, SOURCE)):
                    if not isinstance(end, str) or end not in self.points:
                        raise ConfigError(
                            f"{self.where}: no node is called {end!r:.80}; {nearest(str(end), self.points)}"
                        )
                    if end == never:
                        raise ConfigError(f"{self.where}: no edge leads into {SOURCE} or out of {TARGET}; remove it")
                if (one, other) not in found:
                    found.append((one, other))
        return found

    def checked(self, wanted: list[tuple[str, str]]) -> Edges:
        """The edges on which every node gets what it takes; raises ``ConfigError`` for a graph that is not sound."""
        known: dict[str, Fields] = {SOURCE: self.points[SOURCE].gives}  # the fields that the record has after a point
        kept: list[tuple[str, str]] = []
        order = self._in_order(wanted)
        for point in order:
            before = [one for one, other in wanted if other == point and one in known]
            for one in before:
                if lacking := _lacking(self.points[point].takes, known[one]):
                    self._refuse_listed(one, point, lacking, known[one])
                else:
                    kept.append((one, point))
            if fitting := [known[one] for one, other in kept if other == point]:
                known[point] = {**_common(fitting), **self.points[point].gives}
        for name in order:  # the first one is the reason why those after it are not reached
            if name not in known:
                raise ConfigError(f"{self.where}: {self._unreachable(name, known)}")
        self._refuse_dead_ends(kept)
        return {name: tuple(other for one, other in kept if one == name) for name in self.points if name != TARGET}

    def _in_order(self, wanted: list[tuple[str, str]]) -> list[str]:
        sorter = TopologicalSorter[str]({name: () for name in self.points})
        for one, other in wanted:
            sorter.add(other, one)
        try:
            return list(sorter.static_order())
        except CycleError as error:
            cycle = " → ".join(reversed(error.args[1]))
            cure = (
                "give their fields different names, or list the edges" if self.derived else "remove one of these edges"
            )
            raise ConfigError(f"{self.where}: the edges {cycle} form a cycle, but a walk must end; {cure}") from None

    def _refuse_listed(self, one: str, other: str, lacking: str, known: Fields) -> None:
        if not self.derived:
            raise ConfigError(
                f"{self.where}: the edge {one} → {other} cannot be: {other} takes {lacking!r} "
                f"({TYPES[self.points[other].takes[lacking]]}), but on some path to it the record has only "
                f"{described(known)}; add a node that gives it, or remove the edge"
            )

    def _unreachable(self, name: str, known: Mapping[str, Fields]) -> str:
        what = "no walk can end" if name == TARGET else f"no walk comes to {name!r}"
        if not self.derived:
            return f"{what}, because no edge leads there from {SOURCE}; list one, or remove the node"
        takes = self.points[name].takes
        if not takes:
            return (
                f"{what}, because it takes nothing, so that no edge leads there; let it take a field, or list the edges"
            )
        for field, kind in takes.items():
            givers = {
                one: point.gives[field] for one, point in self.points.items() if field in point.gives and one != name
            }
            if not givers:
                return f"{what}, because nothing gives the field {field!r} that it takes; add a node that does"
            if not any(accepts(kind, found) for found in givers.values()):
                one, found = next(iter(givers.items()))
                types = f"it takes {field!r} as {TYPES[kind]}, but {one} gives {TYPES[found]}"
                return f"{what}, because {types}; make them one type"
        return (
            f"{what}, because on no path the record has all of {described(takes)}; "
            "let a node before it give what is missing, or list the edges"
        )

    def _refuse_dead_ends(self, kept: list[tuple[str, str]]) -> None:
        leaving = {TARGET}
        while more := {one for one, other in kept if other in leaving} - leaving:
            leaving |= more
        for name in self.points:
            if name in leaving:
                continue
            gives = self.points[name].gives
            other_types = [
                f"{other} takes {field!r} as {TYPES[point.takes[field]]}, but {name} gives {TYPES[kind]}"
                for other, point in self.points.items()
                for field, kind in gives.items()
                if other != name and field in point.takes and not accepts(point.takes[field], kind)
            ]
            why = (
                other_types[0]
                if other_types
                else f"nothing that leads to the {TARGET} takes {described(gives)} after it"
            )
            raise ConfigError(f"{self.where}: {name!r} is a dead end: {why}; connect it, or remove it")


def _passes(gives: Fields, takes: Fields) -> bool:
    return any(name in takes and accepts(takes[name], kind) for name, kind in gives.items())


def _lacking(takes: Fields, known: Fields) -> str:
    """The first field that is taken but not known, or known with another type; empty if there is none."""
    return next((name for name, kind in takes.items() if name not in known or not accepts(kind, known[name])), "")


def _common(several: Sequence[Fields]) -> Fields:
    """The fields that all have, with one type."""
    first, *rest = several
    return {name: kind for name, kind in first.items() if all(other.get(name) is kind for other in rest)}
