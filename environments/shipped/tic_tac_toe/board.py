"""The board and the rules of tic-tac-toe, and scripted players."""

import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

Mark = Literal["x", "o"]

_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclass(frozen=True)
class Board:
    """Nine cells, numbered from 1, after ``moves``; ``x`` moves first."""

    moves: tuple[int, ...] = ()

    @property
    def turn(self) -> Mark:
        """Whose move it is."""
        return "o" if len(self.moves) % 2 else "x"

    @property
    def free(self) -> tuple[int, ...]:
        """Cells that nobody has taken."""
        return tuple(cell for cell in range(1, 10) if cell not in self.moves)

    @property
    def winner(self) -> Mark | None:
        """The player with three in a row, None if there is no such player."""
        cells = self._cells()
        for a, b, c in _LINES:
            if cells[a] in ("x", "o") and cells[a] == cells[b] == cells[c]:
                return "x" if cells[a] == "x" else "o"
        return None

    @property
    def over(self) -> bool:
        """Whether somebody has won or no cell is free."""
        return self.winner is not None or not self.free

    def after(self, cell: int) -> "Board":
        """The board after one more move."""
        return Board((*self.moves, cell))

    def __str__(self) -> str:
        """Three lines; free cells show their number."""
        cells = self._cells()
        return "\n".join(" ".join(cells[row : row + 3]) for row in (0, 3, 6))

    def _cells(self) -> str:
        cells = list("123456789")
        for number, cell in enumerate(self.moves):
            cells[cell - 1] = "xo"[number % 2]
        return "".join(cells)


def best_moves(board: Board) -> tuple[int, ...]:
    """The moves that lead to the best result against a perfect opponent."""
    values = {cell: _value(_key(board.after(cell))) for cell in board.free}
    sign = 1 if board.turn == "x" else -1
    best = max(sign * value for value in values.values())
    return tuple(cell for cell, value in values.items() if sign * value == best)


def scripted_move(kind: Literal["random", "first", "perfect"], board: Board, rng: random.Random) -> int:
    """The move of a scripted player: a random free cell, the lowest free cell, or a best one."""
    if kind == "first":
        return board.free[0]
    return rng.choice(board.free if kind == "random" else best_moves(board))


def _key(board: Board) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(board.moves[::2]), frozenset(board.moves[1::2])


@cache
def _value(key: tuple[frozenset[int], frozenset[int]]) -> int:
    """The result for x under perfect play: 1, 0 or -1."""
    xs, os = key
    for line in _LINES:
        cells = {cell + 1 for cell in line}
        if cells <= xs:
            return 1
        if cells <= os:
            return -1
    free = [cell for cell in range(1, 10) if cell not in xs | os]
    if not free:
        return 0
    if len(xs) == len(os):
        return max(_value((xs | {cell}, os)) for cell in free)
    return min(_value((xs, os | {cell})) for cell in free)
