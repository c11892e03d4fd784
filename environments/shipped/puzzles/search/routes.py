"""Puzzles about routes through graphs, between towns and over a chess board."""

import heapq
from collections import deque
from itertools import pairwise, permutations, product
from random import Random
from typing import Any, Self

from ..answers import INTEGERS, PAIRS
from ..puzzle import Puzzle, family, until
from .graphs import connected_edges, is_permutation, lines, path_edges, random_edges


@family
class ShortestPath(Puzzle):
    """A path with the least total weight."""

    sizes = range(4, 12)
    answer = INTEGERS
    form = "the vertices of the path from start to end, separated by commas"
    wordings = (
        "These edges of a graph go both ways, and each has a length. Find a shortest path from {start} to "
        "{end}.\n{graph}",
        "Roads and their lengths:\n{graph}\nWhich route from {start} to {end} has the least total length?",
    )
    edges: list[list[int]]
    start: int
    end: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        edges = [[*edge, rng.randint(1, 20)] for edge in connected_edges(rng, size, 2 * size)]
        return cls(edges, *rng.sample(range(1, size + 1), 2))

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "start": str(self.start), "end": str(self.end)}

    def solve(self) -> list[int]:
        queue, done = [(0, [self.start])], set()
        while queue:
            length, path = heapq.heappop(queue)
            if path[-1] == self.end:
                return path
            if path[-1] in done:
                continue
            done.add(path[-1])
            for a, b, weight in self.edges:
                for here, there in ((a, b), (b, a)):
                    if here == path[-1] and there not in done:
                        heapq.heappush(queue, (length + weight, [*path, there]))
        raise AssertionError("the graph is connected")

    def _length(self, path: list[int]) -> int | None:
        weights = {(a, b): weight for a, b, weight in self.edges}
        steps = [weights.get((min(step), max(step))) for step in pairwise(path)]
        return None if None in steps else sum(weight for weight in steps if weight)

    def accepts(self, found: Any) -> bool:
        return (found[0], found[-1]) == (self.start, self.end) and self._length(found) == self._length(self.solve())


@family
class HamiltonianPath(Puzzle):
    """A path through all vertices of a graph."""

    sizes = range(4, 20, 2)
    answer = INTEGERS
    form = "the vertices in the order of the path, separated by commas"
    wordings = (
        "Find a path along edges that visits each of the vertices 1 to {vertices} exactly once. Edges: {graph}",
        "A traveller wants to see the towns 1 to {vertices} once each, along these roads: {graph}. In which order?",
    )
    vertices: int
    edges: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = rng.sample(range(1, size + 1), size)
        return cls(size, random_edges(rng, size, 3 * size // 2 - 1, path_edges(plan)), plan)

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges), "vertices": str(self.vertices)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return is_permutation(found, self.vertices) and all(edge in self.edges for edge in path_edges(found))


@family
class EulerianTrail(Puzzle):
    """A walk along every edge of a graph once."""

    sizes = range(5, 21, 2)
    answer = INTEGERS
    form = "the vertices in the order in which the walk visits them, separated by commas"
    wordings = (
        "Find a walk that uses each of these edges exactly once, in either direction: {graph}",
        "Draw the graph with the edges {graph} in one stroke, without drawing an edge twice. In which order are the "
        "vertices visited?",
    )
    edges: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def draw() -> list[int]:
            plan = [1]
            for _ in range(size):
                used = path_edges(plan)
                choices = [n for n in range(1, size) if n != plan[-1] and sorted((n, plan[-1])) not in used]
                plan += rng.sample(choices, min(1, len(choices)))
            return plan

        plan = until(draw, lambda found: len(found) == size + 1)
        return cls(rng.sample(path_edges(plan), size), plan)

    def shown(self) -> dict[str, str]:
        return {"graph": lines(self.edges)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return len(found) == len(self.edges) + 1 and sorted(path_edges(found)) == sorted(self.edges)


@family
class RoundTrip(Puzzle):
    """A shortest round trip through a few towns."""

    sizes = (4, 5, 6, 7, 8, 9, 10, 11)
    answer = INTEGERS
    form = "the towns in the order of the trip, each once, beginning with 1, separated by commas"
    wordings = (
        "The table has the distances between towns 1 to {count}, row by row:\n{distances}\nFind a round trip from "
        "town 1 through all towns and back to 1 that is at most {most} long.",
        "Plan a tour from town 1 through all {count} towns and back with a total length of at most {most}. Distances, "
        "a line for each town:\n{distances}",
    )
    distances: list[list[int]]
    most: int
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        points = [(rng.randrange(100), rng.randrange(100)) for _ in range(size)]
        rows = [[abs(a - c) + abs(b - d) for c, d in points] for a, b in points]
        tours = [[0, *rest] for rest in permutations(range(1, size))] if size < 7 else cls._improved(rng, rows)
        best = min(tours, key=lambda tour: cls._length(rows, tour))
        found = cls(rows, cls._length(rows, best), [n + 1 for n in best])
        return cls.make(rng, size) if size > 3 and found.plan == sorted(found.plan) else found

    @classmethod
    def _improved(cls, rng: Random, rows: list[list[int]]) -> list[list[int]]:
        """A tour from which no reversal of a part makes a shorter one."""
        tour, better = [0, *rng.sample(range(1, len(rows)), len(rows) - 1)], True
        while better:
            better = False
            for i in range(1, len(tour)):
                for j in range(i + 2, len(tour) + 1):
                    other = [*tour[:i], *reversed(tour[i:j]), *tour[j:]]
                    if cls._length(rows, other) < cls._length(rows, tour):
                        tour, better = other, True
        return [tour]

    @staticmethod
    def _length(rows: list[list[int]], tour: list[int]) -> int:
        return sum(rows[a][b] for a, b in zip(tour, [*tour[1:], tour[0]], strict=True))

    def shown(self) -> dict[str, str]:
        return {**super().shown(), "count": str(len(self.distances))}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if sorted(found) != list(range(1, len(self.distances) + 1)) or found[0] != 1:
            return False
        return self._length(self.distances, [n - 1 for n in found]) <= self.most


@family
class KnightRoute(Puzzle):
    """A shortest way of a chess knight."""

    sizes = range(4, 12)
    answer = PAIRS
    form = "the squares of the way from the first to the last, such as (1, 1), (2, 3), (4, 4)"
    wordings = (
        "Find a way with as few moves as possible for a chess knight from ({a}, {b}) to ({c}, {d}) on a board of "
        "{size} by {size} squares, (1, 1) to ({size}, {size}), that avoids the squares {blocked}.",
        "A knight stands on ({a}, {b}) of a {size} by {size} board with coordinates from 1 to {size}. It must not "
        "land on {blocked}. How does it reach ({c}, {d}) in the fewest moves?",
    )
    size: int
    start: list[int]
    end: list[int]
    blocked: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            cells = [[n // size + 1, n % size + 1] for n in rng.sample(range(size * size), 2 + size)]
            found = cls(size, cells[0], cells[1], sorted(cells[2:]))
            if len(found.solve()) > 2:
                return found

    def shown(self) -> dict[str, str]:
        ends = dict(zip("abcd", map(str, self.start + self.end), strict=True))
        return {**ends, "size": str(self.size), "blocked": ", ".join(f"({x}, {y})" for x, y in self.blocked)}

    def _free(self, x: int, y: int) -> bool:
        return 1 <= x <= self.size and 1 <= y <= self.size and [x, y] not in self.blocked

    def solve(self) -> list[tuple[int, int]]:
        jumps = [jump for jump in product((-2, -1, 1, 2), repeat=2) if abs(jump[0] * jump[1]) == 2]
        start, end = (self.start[0], self.start[1]), (self.end[0], self.end[1])
        ways, queue = {start: [start]}, deque([start])
        while queue and end not in ways:
            x, y = queue.popleft()
            for dx, dy in jumps:
                cell = (x + dx, y + dy)
                if cell not in ways and self._free(*cell):
                    ways[cell] = [*ways[x, y], cell]
                    queue.append(cell)
        return ways.get(end, [])

    def accepts(self, found: Any) -> bool:
        ends = list(found[0]) == self.start and list(found[-1]) == self.end
        jumps = all({abs(a - c), abs(b - d)} == {1, 2} for (a, b), (c, d) in pairwise(found))
        return ends and jumps and all(self._free(*cell) for cell in found) and len(found) == len(self.solve())
