"""Puzzles about graphs; vertices are numbered from 1."""

from itertools import combinations, pairwise
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, PAIRS
from ..puzzle import Puzzle, family

Edge = list[int]


def path_edges(order: list[int]) -> list[Edge]:
    """The edges between neighbours in a list of vertices, each with its smaller vertex first."""
    return [sorted(pair) for pair in pairwise(order)]


def random_edges(rng: Random, vertices: int, count: int, kept: list[Edge] | None = None) -> list[Edge]:
    """Different edges, among them ``kept``, in random order."""
    edges = list(kept or [])
    others = [list(pair) for pair in combinations(range(1, vertices + 1), 2) if list(pair) not in edges]
    edges += rng.sample(others, min(len(others), max(0, count - len(edges))))
    rng.shuffle(edges)
    return edges


def connected_edges(rng: Random, vertices: int, count: int) -> list[Edge]:
    """Edges of a connected graph."""
    order = rng.sample(range(1, vertices + 1), vertices)
    tree = [sorted((order[n], rng.choice(order[:n]))) for n in range(1, vertices)]
    return random_edges(rng, vertices, count, tree)


def lines(edges: list[Edge]) -> str:
    """Edges as text: ``1-2, 2-3``, or with weights, a line each."""
    if edges and len(edges[0]) == 3:
        return "\n".join(f"{a}-{b}: {weight}" for a, b, weight in edges)
    return ", ".join(f"{a}-{b}" for a, b in edges)


def is_permutation(found: list[int], count: int) -> bool:
    """Whether ``found`` has each of 1 to ``count`` once."""
    return sorted(found) == list(range(1, count + 1))


@family
class SpanningTree(Puzzle):
    """The weight of a minimum spanning tree."""

    sizes = range(4, 12)
    answer = INTEGER
    wordings = (
        "Cables between {vertices} houses could be laid at these costs:\n{graph}\nWhat is the least total cost at "
        "which all houses are connected?",
        "What is the weight of a minimum spanning tree of the graph with these edges and weights?\n{graph}",
    )
    vertices: int
    edges: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(size, [[*edge, rng.randint(1, 30)] for edge in connected_edges(rng, size, 2 * size)])

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices)}

    def solve(self) -> int:
        group, total = list(range(self.vertices + 1)), 0
        for weight, a, b in sorted((weight, a, b) for a, b, weight in self.edges):
            if group[a] != group[b]:
                old, new, total = group[a], group[b], total + weight
                group = [new if value == old else value for value in group]
        return total


@family
class GraphColoring(Puzzle):
    """A colouring in which neighbours differ."""

    sizes = range(4, 20, 2)
    answer = INTEGERS
    form = "the colours of vertices 1, 2, 3, … in order, each of them 1, 2 or 3, separated by commas"
    wordings = (
        "Colour the {vertices} vertices of a graph with the colours 1, 2 and 3 so that neighbours differ. Edges: "
        "{graph}",
        "Give each vertex from 1 to {vertices} one of the colours 1, 2, 3; the two ends of an edge must not be alike. "
        "The edges are {graph}",
    )
    vertices: int
    edges: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = [rng.randint(1, 3) for _ in range(size)]
        edges = [edge for edge in random_edges(rng, size, 3 * size) if plan[edge[0] - 1] != plan[edge[1] - 1]]
        return cls(size, edges, plan) if edges else cls.make(rng, size)

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        proper = len(found) == self.vertices and set(found) <= {1, 2, 3}
        return proper and all(found[a - 1] != found[b - 1] for a, b in self.edges)


@family
class TopologicalOrder(Puzzle):
    """An order of jobs in which each comes after those that it needs."""

    sizes = range(4, 20, 2)
    answer = INTEGERS
    form = "the numbers of all the jobs in their order, separated by commas"
    wordings = (
        "Jobs 1 to {vertices} must be done one after another. In a-b, job a must come before job b: {graph}. Find an "
        "order.",
        "Find an order of the numbers 1 to {vertices} in which a stands before b for each of these pairs a-b: {graph}",
    )
    vertices: int
    edges: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        order = rng.sample(range(1, size + 1), size)
        pairs = [list(pair) for pair in combinations(order, 2)]
        return cls(size, rng.sample(pairs, min(len(pairs) - 1, 3 * size // 2)))

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices)}

    def solve(self) -> list[int]:
        order: list[int] = []
        while len(order) < self.vertices:
            blocked = {b for a, b in self.edges if a not in order}
            order.append(min(set(range(1, self.vertices + 1)) - blocked - set(order)))
        return order

    def accepts(self, found: Any) -> bool:
        return is_permutation(found, self.vertices) and all(found.index(a) < found.index(b) for a, b in self.edges)


@family
class LargestMatching(Puzzle):
    """A largest set of edges without a common vertex, between two groups."""

    sizes = range(3, 11)
    answer = PAIRS
    form = "the pairs of worker and job, such as (1, 2), (3, 1)"
    wordings = (
        "In a-b, worker a can do job b: {graph}. Give as many workers as possible a job of their own.",
        "Each pair a-b says that worker a is able to do job b: {graph}. Assign jobs so that as many workers as "
        "possible have one, and nobody shares a job or has two.",
    )
    edges: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        pairs = [[a, b] for a in range(1, size + 1) for b in range(1, size + 1)]
        return cls(sorted(rng.sample(pairs, 2 * size)))

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges)}

    def solve(self) -> list[tuple[int, int]]:
        taken: dict[int, int] = {}

        def place(worker: int, seen: set[int]) -> bool:
            for a, job in self.edges:
                if a == worker and job not in seen:
                    seen.add(job)
                    if job not in taken or place(taken[job], seen):
                        taken[job] = worker
                        return True
            return False

        for worker in sorted({a for a, _ in self.edges}):
            place(worker, set())
        return sorted((worker, job) for job, worker in taken.items())

    def accepts(self, found: Any) -> bool:
        workers, jobs = zip(*found, strict=True)
        apart = len(set(workers)) == len(workers) and len(set(jobs)) == len(jobs)
        return apart and all(list(pair) in self.edges for pair in found) and len(found) == len(self.solve())


@family
class ComponentCount(Puzzle):
    """How many separate parts a graph has."""

    sizes = range(6, 38, 4)
    answer = INTEGER
    wordings = (
        "A graph has the vertices 1 to {vertices} and the edges {graph}. How many connected components has it?",
        "{vertices} people, numbered from 1, know each other as follows: {graph}. Friends of friends belong to the "
        "same group, and someone without friends is a group alone. How many groups are there?",
    )
    vertices: int
    edges: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(size, random_edges(rng, size, size * 2 // 3))

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices)}

    def solve(self) -> int:
        group = list(range(self.vertices + 1))
        for a, b in self.edges:
            group = [group[b] if value == group[a] else value for value in group]
        return len(set(group[1:]))


@family
class IndependentSet(Puzzle):
    """Vertices without an edge between them."""

    sizes = range(5, 21, 2)
    answer = INTEGERS
    form = "the chosen vertices, separated by commas"
    wordings = (
        "Choose {count} of the vertices 1 to {vertices} so that no edge joins two of them. Edges: {graph}",
        "Of {vertices} guests, some quarrel: {graph}. Invite {count} guests of whom no two quarrel.",
    )
    vertices: int
    edges: list[list[int]]
    count: int
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = rng.sample(range(1, size + 1), size // 2)
        edges = [edge for edge in random_edges(rng, size, 4 * size) if not set(edge) <= set(plan)]
        return cls(size, edges, len(plan), plan)

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices), "count": str(self.count)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        chosen = set(found)
        allowed = len(found) == len(chosen) == self.count and chosen <= set(range(1, self.vertices + 1))
        return allowed and not any(set(edge) <= chosen for edge in self.edges)
