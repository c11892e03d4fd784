"""Puzzles that are solved on a board; rows and columns are numbered from 1 at the top left."""

from itertools import groupby, product
from random import Random
from typing import Any, Self

from ..answers import GRID, INTEGERS, NUMBERS, PAIRS, WORD
from ..puzzle import Puzzle, family, until
from .grids import STEPS


def is_shape(found: list[list[Any]], rows: int, columns: int) -> bool:
    """Whether a grid has so many rows and columns."""
    return len(found) == rows and all(len(row) == columns for row in found)


def blanked(rng: Random, grid: list[list[int]], count: int) -> list[list[int]]:
    """The grid with 0 in so many cells."""
    cells = rng.sample(list(product(range(len(grid)), range(len(grid[0])))), count)
    return [[0 if (i, j) in cells else value for j, value in enumerate(row)] for i, row in enumerate(grid)]


def agrees(found: list[list[int]], given: list[list[int]]) -> bool:
    """Whether all cells of ``given`` that are not 0 are the same in ``found``, which has the same shape."""
    return all(b in (0, a) for row, old in zip(found, given, strict=True) for a, b in zip(row, old, strict=True))


def latin(rng: Random, rows: list[list[int]]) -> list[list[int]]:
    """The same Latin square with its numbers renamed."""
    names = rng.sample(range(1, len(rows) + 1), len(rows))
    return [[names[value - 1] for value in row] for row in rows]


_MAGIC = ((1, 0), (-1, -1), (0, 1), (-1, 1), (0, 0), (1, -1), (0, -1), (1, 1), (-1, 0))
"""Every magic square of order 3 is its middle plus these multiples of two numbers."""


@family
class Sudoku(Puzzle):
    """A sudoku of nine by nine cells."""

    sizes = range(4, 52, 6)
    answer = NUMBERS
    form = "the completed grid with a line for each row and spaces between the digits"
    wordings = (
        "Replace each 0 so that every row, every column and every 3 by 3 block holds the digits 1 to 9 once:\n{grid}",
        "Complete this sudoku, in which 0 is an empty cell:\n{grid}",
    )
    grid: list[list[int]]
    plan: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        rows, columns = (
            [3 * band + n for band in rng.sample(range(3), 3) for n in rng.sample(range(3), 3)] for _ in range(2)
        )
        plan = latin(rng, [[(3 * (i % 3) + i // 3 + j) % 9 + 1 for j in columns] for i in rows])
        return cls(blanked(rng, plan, size), plan)

    def solve(self) -> list[list[int]]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if not is_shape(found, 9, 9) or not agrees(found, self.grid):
            return False
        columns = [list(column) for column in zip(*found, strict=True)]
        corners = product((0, 3, 6), repeat=2)
        blocks = [[found[i + n // 3][j + n % 3] for n in range(9)] for i, j in corners]
        return all(sorted(line) == list(range(1, 10)) for line in [*found, *columns, *blocks])


@family
class LatinSquare(Puzzle):
    """A Latin square to complete."""

    sizes = range(4, 12)
    answer = NUMBERS
    form = "the completed grid with a line for each row and spaces between the numbers"
    wordings = (
        "Replace each 0 so that every row and every column holds each number from 1 to {size} once:\n{grid}",
        "Complete this Latin square of order {size}, in which 0 is an empty cell:\n{grid}",
    )
    grid: list[list[int]]
    plan: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        rows, columns = rng.sample(range(size), size), rng.sample(range(size), size)
        plan = latin(rng, [[(i + j) % size + 1 for j in columns] for i in rows])
        return cls(blanked(rng, plan, size * size // 2), plan)

    def shown(self) -> dict[str, str]:
        return {**super().shown(), "size": str(len(self.grid))}

    def solve(self) -> list[list[int]]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        size = len(self.grid)
        if not is_shape(found, size, size) or not agrees(found, self.grid):
            return False
        return all(sorted(line) == list(range(1, size + 1)) for line in [*found, *zip(*found, strict=True)])


@family
class Queens(Puzzle):
    """Queens that do not attack each other, two of them placed already."""

    sizes = range(5, 13)
    answer = INTEGERS
    form = "the row of the queen in each column, from the first column to the last, separated by commas"
    wordings = (
        "Place {size} queens on a {size} by {size} board so that no two share a row, a column or a diagonal. Two are "
        "placed already, at these pairs of column and row: {given}",
        "Solve the problem of {size} queens on a {size} by {size} board, of which two stand on {given} (column, row).",
    )
    size: int
    given: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = cls._placed(rng, size, [])
        return cls(size, sorted([column + 1, plan[column]] for column in rng.sample(range(size), 2)), plan)

    @classmethod
    def _placed(cls, rng: Random, size: int, rows: list[int]) -> list[int]:
        """A random solution that begins with ``rows``, else an empty list."""
        column = len(rows)
        if column == size:
            return rows
        for row in rng.sample(range(1, size + 1), size):
            free = all(row != r and abs(row - r) != column - c for c, r in enumerate(rows))
            if free and (found := cls._placed(rng, size, [*rows, row])):
                return found
        return []

    def shown(self) -> dict[str, str]:
        return {"size": str(self.size), "given": ", ".join(f"({column}, {row})" for column, row in self.given)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        size = self.size
        if sorted(found) != list(range(1, size + 1)) or any(found[column - 1] != row for column, row in self.given):
            return False
        return all(len({row + sign * column for column, row in enumerate(found)}) == size for sign in (-1, 1))


def runs(line: list[str]) -> list[int]:
    """The lengths of the runs of ``#`` in a line."""
    return [len(list(group)) for cell, group in groupby(line) if cell == "#"] or [0]


@family
class Nonogram(Puzzle):
    """A picture from the lengths of its runs."""

    sizes = range(3, 11)
    answer = GRID
    form = "the grid of # and . cells, with a line for each row and spaces between the cells"
    wordings = (
        "Fill cells of a grid with # so that the runs of # in each line have these lengths, in order. All others are "
        "'.'.\nRows: {across}\nColumns: {down}",
        "Solve this nonogram, with # for a filled cell and . for an empty one.\nRuns in rows: {across}\nRuns in "
        "columns: {down}",
    )
    across: list[list[int]]
    down: list[list[int]]
    plan: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = [[rng.choice("##.") for _ in range(size)] for _ in range(size)]
        return cls([runs(row) for row in plan], [runs(list(column)) for column in zip(*plan, strict=True)], plan)

    def shown(self) -> dict[str, str]:
        both = (("across", self.across), ("down", self.down))
        return {name: "; ".join(" ".join(map(str, line)) for line in lines) for name, lines in both}

    def solve(self) -> list[list[str]]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if not is_shape(found, len(self.across), len(self.down)) or not {c for row in found for c in row} <= {"#", "."}:
            return False
        down = [runs(list(column)) for column in zip(*found, strict=True)]
        return [runs(row) for row in found] == self.across and down == self.down


@family
class LightsOut(Puzzle):
    """Switches that toggle a lamp and its neighbours."""

    sizes = range(3, 11)
    answer = PAIRS
    form = "the pressed cells as pairs of row and column, such as (1, 2), (2, 2), each at most once"
    wordings = (
        "Pressing a cell toggles it and its neighbours above, below, left and right. Turn all lamps off (1 is "
        "on):\n{grid}",
        "In this grid of lamps 1 is on and 0 is off. A press of a cell switches that lamp and those next to it in its "
        "row and column. Which cells must be pressed to switch all lamps off?\n{grid}",
    )
    grid: list[list[int]]
    plan: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        cells = [[i, j] for i in range(1, size + 1) for j in range(1, size + 1)]
        while True:
            plan = sorted(rng.sample(cells, rng.randint(1, size * size // 2)))
            if any(map(any, cls._pressed(size, plan))):
                return cls(cls._pressed(size, plan), plan)

    @staticmethod
    def _pressed(size: int, cells: Any) -> list[list[int]]:
        grid = [[0] * size for _ in range(size)]
        for i, j in cells:
            for a, b in ((i, j), (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 1 <= a <= size and 1 <= b <= size:
                    grid[a - 1][b - 1] ^= 1
        return grid

    def solve(self) -> list[tuple[int, int]]:
        return [(i, j) for i, j in self.plan]

    def accepts(self, found: Any) -> bool:
        size = len(self.grid)
        inside = all(1 <= i <= size and 1 <= j <= size for i, j in found)
        return inside and len(set(found)) == len(found) and self._pressed(size, found) == self.grid


@family
class SlidingPuzzle(Puzzle):
    """A sliding puzzle with eight tiles."""

    sizes = range(6, 22, 2)
    answer = WORD
    form = "the moves as letters without spaces, at most 200: U, D, L or R moves a tile up, down, left or right"
    wordings = (
        "Slide the tiles into the empty cell 0 until the rows read 1 2 3, 4 5 6 and 7 8 0:\n{grid}",
        "This sliding puzzle has an empty cell, 0. Bring it into the order 1 to 8 with the empty cell last:\n{grid}",
    )
    grid: list[list[int]]
    plan: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        goal = [[1, 2, 3], [4, 5, 6], [7, 8, 0]]

        def draw() -> str:
            moves = ""
            while len(moves) < size:
                move = rng.choice("udlr")
                if not moves.endswith({"u": "d", "d": "u", "l": "r", "r": "l"}[move]) and cls._slid(goal, moves + move):
                    moves += move
            return moves

        moves = until(draw, lambda found: cls._slid(goal, found) != goal)
        grid = cls._slid(goal, moves) or goal
        return cls(grid, moves[::-1].translate(str.maketrans("udlr", "durl")))

    @staticmethod
    def _slid(grid: list[list[int]], moves: str) -> list[list[int]] | None:
        """The grid after the moves; None if one is not possible."""
        tiles = {(i, j): value for i, row in enumerate(grid) for j, value in enumerate(row)}
        i, j = next(cell for cell, value in tiles.items() if not value)
        for move in moves:
            a, b = i - STEPS[move][0], j - STEPS[move][1]
            if (a, b) not in tiles:
                return None
            tiles[i, j], tiles[a, b], i, j = tiles[a, b], 0, a, b
        return [[tiles[i, j] for j in range(3)] for i in range(3)]

    def solve(self) -> str:
        return self.plan

    def accepts(self, found: Any) -> bool:
        allowed = len(found) <= 200 and set(found) <= set("udlr")
        return allowed and self._slid(self.grid, found) == [[1, 2, 3], [4, 5, 6], [7, 8, 0]]


@family
class MagicSquare(Puzzle):
    """A magic square with missing numbers."""

    sizes = range(10, 90, 10)
    answer = INTEGERS
    form = "all nine numbers of the square, row by row, separated by commas"
    wordings = (
        "Replace each 0 so that all rows, all columns and both diagonals of this square have the same sum:\n{grid}",
        "Complete the magic square, in which 0 is a missing number:\n{grid}",
    )
    grid: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        middle, a, b = rng.randint(size, 2 * size), rng.randint(1, size // 3), rng.randint(1, size // 3)
        a, b = (a, b) if a not in (b, 2 * b) and b != 2 * a else (size // 3 + 2, 1)
        plan = [middle + x * a + y * b for x, y in _MAGIC]
        blanks = rng.sample([0, 1, 2, 3, 5, 6, 7, 8], rng.randint(3, 4))
        cells = [0 if n in blanks else value for n, value in enumerate(plan)]
        return cls([cells[0:3], cells[3:6], cells[6:9]], plan)

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        given = [value for row in self.grid for value in row]
        if len(found) != 9 or any(old and old != new for old, new in zip(given, found, strict=True)):
            return False
        rows = [found[0:3], found[3:6], found[6:9], found[0::3], found[1::3], found[2::3], found[0::4], found[2:7:2]]
        return len(set(map(sum, rows))) == 1
