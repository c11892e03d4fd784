"""Puzzles of geometry, with integer coordinates."""

from fractions import Fraction
from itertools import combinations, pairwise
from math import atan2, gcd
from random import Random
from typing import Any, Self

from ..answers import FRACTION, INTEGER, PAIRS
from ..puzzle import Puzzle, family, until

Point = list[int]


def points_text(points: list[Point]) -> str:
    """Points as (1, 2), (3, 4)."""
    return ", ".join(f"({x}, {y})" for x, y in points)


def distinct_points(rng: Random, count: int, bound: int) -> list[Point]:
    """Different points with coordinates from ``-bound`` to ``bound``."""
    side = 2 * bound + 1
    return [[n // side - bound, n % side - bound] for n in rng.sample(range(side * side), count)]


def star(points: list[Point]) -> list[Point]:
    """The points as the corners of a polygon without crossings, around their centre."""
    x, y = (Fraction(sum(values), len(points)) for values in zip(*points, strict=True))
    return sorted(points, key=lambda p: (atan2(p[1] - y, p[0] - x), (p[0] - x) ** 2 + (p[1] - y) ** 2))


def doubled_area(corners: list[Point]) -> int:
    """Twice the area of a polygon, from the shoelace formula."""
    return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in pairwise([*corners, corners[0]])))


def turn(a: Point, b: Point, c: Point) -> int:
    """Positive if the way from ``a`` over ``b`` to ``c`` turns left, negative if right, else 0."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


class _Polygon(Puzzle):
    """A polygon whose corners are seen in different directions from its centre."""

    corners: list[Point]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def fits(found: list[Point]) -> bool:
            x, y = (sum(values) for values in zip(*found, strict=True))
            rays = [[p[0] * size - x, p[1] * size - y] for p in found]
            reduced = {(a // (gcd(a, b) or 1), b // (gcd(a, b) or 1)) for a, b in rays}
            return len(reduced) == size and [0, 0] not in rays and doubled_area(star(found)) > 0

        corners = star(until(lambda: distinct_points(rng, size, 6 + size), fits))
        return cls(corners)  # type: ignore[call-arg]

    def shown(self) -> dict[str, str]:
        return {"corners": points_text(self.corners)}


@family
class PolygonArea(_Polygon):
    """The area of a polygon."""

    corners: list[Point]
    sizes = range(3, 11)
    answer = FRACTION
    wordings = (
        "What is the area of the polygon with the corners {corners}, in this order?",
        "A polygon has the vertices {corners}. Calculate its area.",
    )

    def solve(self) -> Fraction:
        return Fraction(doubled_area(self.corners), 2)


@family
class InnerPoints(_Polygon):
    """How many points with integer coordinates are inside a polygon."""

    corners: list[Point]
    sizes = range(3, 11)
    answer = INTEGER
    wordings = (
        "How many points with integer coordinates are strictly inside the polygon with the corners {corners}, in this "
        "order?",
        "Count the lattice points in the interior (not on the boundary) of the polygon {corners}.",
    )

    def solve(self) -> int:
        edges = pairwise([*self.corners, self.corners[0]])
        boundary = sum(gcd(b[0] - a[0], b[1] - a[1]) for a, b in edges)
        return (doubled_area(self.corners) - boundary) // 2 + 1


@family
class ConvexHull(Puzzle):
    """The corners of a convex hull."""

    sizes = range(5, 21, 2)
    answer = PAIRS
    form = "the corners of the hull in any order, such as (1, 2), (3, 4), without points on its edges"
    wordings = (
        "Which of the points {points} are corners of their convex hull?",
        "A rubber band is stretched around {points}. At which points does it turn?",
    )
    points: list[Point]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(distinct_points(rng, size, 4 + size))
            if 3 <= len(found.solve()) < size:
                return found

    def shown(self) -> dict[str, str]:
        return {"points": points_text(self.points)}

    def solve(self) -> list[tuple[int, int]]:
        hull: list[Point] = []
        for ordered in (sorted(self.points), sorted(self.points, reverse=True)):
            half: list[Point] = []
            for point in ordered:
                while len(half) > 1 and turn(half[-2], half[-1], point) <= 0:
                    half.pop()
                half.append(point)
            hull += half[:-1]
        return [(x, y) for x, y in hull]

    def accepts(self, found: Any) -> bool:
        return sorted(found) == sorted(self.solve())


@family
class ClosestPair(Puzzle):
    """Two points that are closest to each other."""

    sizes = range(4, 20, 2)
    answer = PAIRS
    form = "the two points, such as (1, 2), (3, 4)"
    wordings = (
        "Which two of the points {points} are closest to each other?",
        "Find a pair of the points {points} with the least distance.",
    )
    points: list[Point]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(distinct_points(rng, size, 10 * size))

    def shown(self) -> dict[str, str]:
        return {"points": points_text(self.points)}

    @staticmethod
    def _distance(a: Any, b: Any) -> int:
        return int((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)

    def solve(self) -> list[tuple[int, int]]:
        a, b = min(combinations(self.points, 2), key=lambda pair: self._distance(*pair))
        return [(a[0], a[1]), (b[0], b[1])]

    def accepts(self, found: Any) -> bool:
        if len(found) != 2 or found[0] == found[1] or not all(list(point) in self.points for point in found):
            return False
        return self._distance(*found) == self._distance(*self.solve())


@family
class RectangleUnion(Puzzle):
    """The area that several rectangles cover."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = (
        "Each line gives two opposite corners of a rectangle with sides along the axes. What area do all of them "
        "cover together?\n{rectangles}",
        "Papers with these opposite corners lie on a table, their sides along the axes:\n{rectangles}\nHow large is "
        "the covered area? Overlaps count once.",
    )
    rectangles: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def draw() -> list[int]:
            x, y = rng.randrange(12), rng.randrange(12)
            return [x, y, x + rng.randint(1, 8), y + rng.randint(1, 8)]

        return cls([draw() for _ in range(size)])

    def shown(self) -> dict[str, str]:
        return {"rectangles": "\n".join(f"({a}, {b}) and ({c}, {d})" for a, b, c, d in self.rectangles)}

    def solve(self) -> int:
        return len({(x, y) for a, b, c, d in self.rectangles for x in range(a, c) for y in range(b, d)})


@family
class TurtleWalk(Puzzle):
    """Where a walk with turns ends."""

    sizes = range(4, 36, 4)
    answer = PAIRS
    form = "the end point, such as (1, -2)"
    wordings = (
        "A turtle at (0, 0) looks north, along the second axis. It follows these commands: {commands}. A number is "
        "how far it walks, L and R turn it left and right by 90 degrees. Where does it end?",
        "Start at (0, 0) facing north (0, 1). Numbers are steps forwards, L and R quarter turns: {commands}. What are "
        "the coordinates in the end?",
    )
    commands: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([rng.choice("LR") if n % 2 else str(rng.randint(1, 9)) for n in range(size)])

    def solve(self) -> list[tuple[int, int]]:
        x, y, dx, dy = 0, 0, 0, 1
        for command in self.commands:
            if command in "LR":
                dx, dy = (-dy, dx) if command == "L" else (dy, -dx)
            else:
                x, y = x + dx * int(command), y + dy * int(command)
        return [(x, y)]


@family
class Transformations(Puzzle):
    """Where a point lands after rotations, reflections and shifts."""

    sizes = range(2, 10)
    answer = PAIRS
    form = "the image of the point, such as (1, -2)"
    wordings = (
        "Move the point ({x}, {y}) by these steps, one after another:\n{steps}\nWhere is it then?",
        "What are the coordinates of ({x}, {y}) after all of these transformations, in order?\n{steps}",
    )
    x: int
    y: int
    steps: list[list[Any]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def step() -> list[Any]:
            kind = rng.choice(list(_MOVES))
            return [kind, rng.randint(-9, 9), rng.randint(-9, 9)]

        while True:
            found = cls(rng.randint(1, 9), rng.randint(-9, -1), [step() for _ in range(size)])
            if found.solve() != [(found.x, found.y)]:
                return found

    def shown(self) -> dict[str, str]:
        steps = "\n".join(_MOVES[kind].format(a=a, b=b) for kind, a, b in self.steps)
        return {"x": str(self.x), "y": str(self.y), "steps": steps}

    def solve(self) -> list[tuple[int, int]]:
        x, y = self.x, self.y
        for kind, a, b in self.steps:
            moved = {"left": (-y, x), "half": (-x, -y), "mirror": (y, x), "axis": (x, -y), "shift": (x + a, y + b)}
            x, y = moved.get(kind, (2 * a - x, 2 * b - y))
        return [(x, y)]


_MOVES = {
    "left": "Rotate it by 90 degrees anticlockwise about the origin.",
    "half": "Rotate it by 180 degrees about the origin.",
    "mirror": "Reflect it in the line y = x.",
    "axis": "Reflect it in the x-axis.",
    "shift": "Move it by ({a}, {b}).",
    "point": "Reflect it in the point ({a}, {b}).",
}
