"""Puzzles about maps and grids of letters and numbers; rows and columns are numbered from 1 at the top left."""

from collections import Counter, deque
from itertools import product
from random import Random
from typing import Any, Self

from ..answers import GRID, INTEGER, INTEGERS, PAIRS, WORD
from ..puzzle import Puzzle, family

STEPS = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
"""The step of each letter: up, down, left, right."""

Cells = list[list[str]]


@family
class Maze(Puzzle):
    """A shortest way through a maze."""

    sizes = range(4, 20, 2)
    answer = WORD
    form = "the steps as letters without spaces: U, D, L or R for up, down, left or right"
    wordings = (
        "Find a shortest way from S to E in this maze, in which # is a wall:\n{grid}",
        "Walk from S to E in as few steps as possible, up, down, left or right, and never onto #:\n{grid}",
    )
    grid: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            grid = [[rng.choice("...#") for _ in range(size)] for _ in range(size)]
            (i, j), (a, b) = rng.sample(list(product(range(size), repeat=2)), 2)
            grid[i][j], grid[a][b] = "S", "E"
            found = cls(grid)
            if len(found.solve()) >= size:
                return found

    def _cell(self, mark: str) -> tuple[int, int]:
        return next((i, j) for i, row in enumerate(self.grid) for j, cell in enumerate(row) if cell == mark)

    def solve(self) -> str:
        start, size = self._cell("S"), len(self.grid)
        ways, queue = {start: ""}, deque([start])
        while queue:
            i, j = queue.popleft()
            if self.grid[i][j] == "E":
                return ways[i, j]
            for letter, (down, right) in STEPS.items():
                a, b = i + down, j + right
                if 0 <= a < size and 0 <= b < size and self.grid[a][b] != "#" and (a, b) not in ways:
                    ways[a, b] = ways[i, j] + letter
                    queue.append((a, b))
        return ""

    def accepts(self, found: Any) -> bool:
        if len(found) != len(self.solve()) or not set(found) <= STEPS.keys():
            return False
        i, j = self._cell("S")
        for letter in found:
            i, j = i + STEPS[letter][0], j + STEPS[letter][1]
            if not (0 <= i < len(self.grid) and 0 <= j < len(self.grid)) or self.grid[i][j] == "#":
                return False
        return self.grid[i][j] == "E"


@family
class IslandCount(Puzzle):
    """How many islands a map has."""

    sizes = range(4, 20, 2)
    answer = INTEGER
    wordings = (
        "On this map # is land and . is water. Cells of land that touch above, below, left or right belong to one "
        "island. How many islands are there?\n{grid}",
        "Count the groups of # that are connected horizontally or vertically:\n{grid}",
    )
    grid: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([[rng.choice("#..") for _ in range(size)] for _ in range(size)])

    def solve(self) -> int:
        land = {(i, j) for i, row in enumerate(self.grid) for j, cell in enumerate(row) if cell == "#"}
        islands = 0
        while land:
            islands += 1
            queue = [land.pop()]
            while queue:
                i, j = queue.pop()
                near = {(i + a, j + b) for a, b in STEPS.values()} & land
                land -= near
                queue += near
        return islands


@family
class GameOfLife(Puzzle):
    """Conway's game of life after some generations."""

    sizes = range(4, 12)
    answer = GRID
    form = "the grid of # and . cells, with a line for each row and spaces between the cells"
    wordings = (
        "In Conway's game of life, # is a living cell. Cells beyond the edge are dead. What does this grid look like "
        "after {steps} generations?\n{grid}",
        "A cell lives in the next generation if 3 of its 8 neighbours live, or if it lives and 2 do. Outside the grid "
        "nothing lives. Play {steps} generations, with # for a living cell:\n{grid}",
    )
    grid: list[list[str]]
    steps: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([[rng.choice("##...") for _ in range(size)] for _ in range(size)], rng.randint(2, 4))
            after = found.solve()
            if after != found.grid and any("#" in row for row in after):
                return found

    def solve(self) -> Cells:
        grid, size = self.grid, len(self.grid)
        for _ in range(self.steps):
            alive = {(i, j) for i, j in product(range(size), repeat=2) if grid[i][j] == "#"}
            near = Counter((i + a, j + b) for i, j in alive for a, b in product((-1, 0, 1), repeat=2))
            lives = {cell for cell, count in near.items() if count == 3 or (count == 4 and cell in alive)}
            grid = [["#" if (i, j) in lives else "." for j in range(size)] for i in range(size)]
        return grid


@family
class SpiralOrder(Puzzle):
    """The cells of a grid in the order of a spiral."""

    sizes = range(3, 11)
    answer = INTEGERS
    wordings = (
        "Read this grid in a clockwise spiral that begins at the top left and ends inside:\n{grid}",
        "List the numbers of the grid along a spiral inwards: first row to the right, last column down, and so "
        "on.\n{grid}",
    )
    grid: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([[rng.randint(1, 99) for _ in range(size)] for _ in range(size)])

    def solve(self) -> list[int]:
        rows, found = [tuple(row) for row in self.grid], list[int]()
        while rows:
            found += rows.pop(0)
            rows = list(zip(*rows, strict=True))[::-1]
        return found


@family
class WordSearch(Puzzle):
    """A word hidden in a grid of letters."""

    sizes = range(5, 21, 2)
    answer = PAIRS
    form = "the cells of the first and the last letter as pairs of row and column, such as (1, 2), (4, 5)"
    wordings = (
        "Find the word {word} in this grid, along a row, a column or a diagonal, in any of the eight "
        "directions:\n{grid}",
        "Where is {word} hidden? It stands in a straight line, perhaps backwards or diagonally.\n{grid}",
    )
    word: str
    grid: list[list[str]]
    plan: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        word = rng.choice(["PLANET", "SILVER", "GARDEN", "BRIDGE", "WINTER", "ROCKET", "LEMON", "TIGER"])[:size]
        down, right = rng.choice([step for step in product((-1, 0, 1), repeat=2) if any(step)])
        reach = len(word) - 1
        i, j = (rng.randint(max(0, -step * reach), size - 1 - max(0, step * reach)) for step in (down, right))
        grid = [[rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(size)] for _ in range(size)]
        for n, letter in enumerate(word):
            grid[i + n * down][j + n * right] = letter
        return cls(word, grid, [[i + 1, j + 1], [i + reach * down + 1, j + reach * right + 1]])

    def solve(self) -> list[tuple[int, int]]:
        return [(i, j) for i, j in self.plan]

    def accepts(self, found: Any) -> bool:
        size, reach = len(self.grid), len(self.word) - 1
        if len(found) != 2 or not all(1 <= n <= size for pair in found for n in pair):
            return False
        (i, j), (a, b) = found
        if {abs(a - i), abs(b - j)} not in ({0, reach}, {reach}):
            return False
        down, right = (a - i) // reach, (b - j) // reach
        return all(self.grid[i + n * down - 1][j + n * right - 1] == letter for n, letter in enumerate(self.word))
