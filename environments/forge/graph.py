"""A directed acyclic graph of nodes: random walks lead from a document at its source to a record at its target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self

from ...verifiers.errors import ConfigError, DataError
from .ask import Ask, no_model
from .edges import Edges, edges_of
from .fields import Record, misfit
from .mermaid import flowchart
from .node import SOURCE, TARGET, Node, PostconditionFailed, Try
from .walk import Call, Walk


@dataclass(frozen=True, kw_only=True)
class Graph(Node):
    """Nodes with edges between them. It has one source and one target, so it is itself a node and can be in a graph.

    Attributes:
        takes: the fields of a document.
        gives: the fields that a walk leaves.
        nodes: functions, model calls and other graphs.
        edges: node → names of the nodes that may follow, from ``source`` to ``target``. By default an edge leads from a
            node to each one that takes something that it gives, if all else that this one takes is there.

    Raises:
        ConfigError: two nodes have one name, or the edges have a cycle, a dead end, a node that cannot be reached, or
            one that does not get the fields that it takes, with their types.
    """

    nodes: Sequence[Node]
    edges: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.takes:
            raise ConfigError(f"graph {self.name!r} takes nothing; name the fields of its documents")
        if not isinstance(self.nodes, list | tuple):
            raise ConfigError(f"graph {self.name!r}: nodes is a list, found {self.nodes!r:.80}; write nodes=[…]")
        for node in self.nodes:
            if not isinstance(node, Node):
                raise ConfigError(f"graph {self.name!r}: {node!r:.80} is no node; mark the function with @node(…)")
        if not self.nodes:
            raise ConfigError(f"graph {self.name!r} has no nodes; give it one or more")
        name, count = Counter(node.name for node in self.nodes).most_common(1)[0]
        if count > 1:
            raise ConfigError(f"graph {self.name!r} has {count} nodes called {name!r}; rename all but one")
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "_next", edges_of(self.name, self.nodes, self.takes, self.gives, self.edges))
        object.__setattr__(self, "_named", {node.name: node for node in self.nodes})

    @property
    def followers(self) -> Edges:
        """Node → the nodes that may follow it, from ``source`` to ``target``."""
        return self._next  # type: ignore[attr-defined, no-any-return]

    @property
    def trains(self) -> bool:
        """Whether a model call in it may be trained on."""
        return any(node.trains for node in self.nodes)

    @property
    def asks(self) -> frozenset[str]:
        """The agents that model calls in it are for."""
        return frozenset().union(*(node.asks for node in self.nodes))

    def with_trained_tries(self, most: int) -> Self:
        """A copy in which nodes with model calls that are trained have at most ``most`` tries."""
        nodes = [node.with_trained_tries(most) if isinstance(node, Graph) else node for node in self.nodes]
        nodes = [replace(node, tries=min(node.tries, most)) if node.trains else node for node in nodes]
        return replace(self, nodes=nodes)

    async def walk(self, document: Record, rng: Random, ask: Ask | None = None) -> Walk:
        """One random walk.

        Args:
            document: has the fields in ``takes``; others are ignored.
            rng: gives one number, which decides everything: each choice of an edge and each try at a node has random
                numbers of its own, so that a retry in one place changes nothing in others.
            ask: how models are asked; needed if there are model nodes.

        Raises:
            DataError: the document lacks a field, or one has another type.
            ConfigError: there are model nodes, but no ``ask``.
        """
        seed = rng.getrandbits(64)
        if not isinstance(document, Mapping):
            raise DataError(f"a document is a table with {', '.join(self.takes)}, found {document!r:.80}")
        if wrong := misfit(document, self.takes):
            raise DataError(f"the document does not fit graph {self.name!r}: {wrong}")
        record = self.seen(document)
        if not self.allows(record):
            return Walk(record, (), (), "dead_end", SOURCE, f"the precondition of graph {self.name!r} does not hold")
        walk = await self._walk(record, seed, ask or no_model, "")
        if walk.finished and (wrong := self.fault(record, walk.record)):
            return replace(walk, stop="postcondition", place=TARGET, reason=wrong)
        return walk

    async def apply(self, record: Record, attempt: Try) -> Mapping[str, Any]:
        """What a walk in this graph gives, as a node of another graph."""
        walk = await self._walk(record, attempt.rng.getrandbits(64), attempt.ask, f"{attempt.place}/")
        attempt.calls += walk.calls
        attempt.path += walk.path
        if not walk.finished:
            raise PostconditionFailed(f"{walk.ended}: {walk.reason}")
        return walk.record

    def mermaid(self) -> str:
        """The graph as a flowchart in Mermaid's language, which GitHub and many editors draw."""
        return flowchart(self)

    async def _walk(self, record: Record, seed: int, ask: Ask, prefix: str) -> Walk:
        nodes: dict[str, Node] = self._named  # type: ignore[attr-defined]
        path: list[str] = []
        calls: list[Call] = []
        here = SOURCE
        while True:
            options = [name for name in self.followers[here] if name == TARGET or nodes[name].allows(record)]
            if not options:
                refused = ", ".join(self.followers[here])
                why = f"no precondition holds after {here}: {refused}"
                return Walk(record, tuple(path), tuple(calls), "dead_end", prefix + here, why)
            weights = [1.0 if name == TARGET else nodes[name].weight for name in options]
            (here,) = Random(f"{seed} after {here}").choices(options, weights)
            if here == TARGET:
                break
            node, place = nodes[here], prefix + here
            path.append(place)
            reason = ""
            for number in range(node.tries):
                attempt = Try(Random(f"{seed} in {here} {number}"), ask, place)
                given, reason = await _tried(node, record, attempt)
                calls += [replace(call, failure=call.failure or reason) for call in attempt.calls]
                if not reason:
                    path += attempt.path
                    record = {**record, **given}
                    break
            if reason:
                why = f"{reason} (in each of {node.tries} tries)" if node.tries > 1 else reason
                return Walk(record, tuple(path), tuple(calls), "postcondition", place, why)
        return Walk({name: record[name] for name in self.gives}, tuple(path), tuple(calls))


async def _tried(node: Node, record: Record, attempt: Try) -> tuple[Mapping[str, Any], str]:
    """What one try gave, and why it cannot be used."""
    try:
        given = await node.apply(node.seen(record), attempt)
        return given, node.fault(node.seen(record), given)
    except PostconditionFailed as failed:
        return {}, " ".join(str(failed).split()) or "a postcondition failed"
