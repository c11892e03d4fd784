"""Puzzles from games for two, from chess boards and from card tables."""

from collections import Counter
from functools import reduce
from itertools import product
from operator import xor
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, NAMES
from ..puzzle import Puzzle, family


@family
class NimMove(Puzzle):
    """A winning move in Nim."""

    sizes = range(3, 11)
    answer = INTEGERS
    form = "the number of the heap and how many objects to take from it, separated by a comma"
    wordings = (
        "In Nim, two players in turn take one or more objects from one heap; whoever takes the last one wins. The "
        "heaps are {heaps}, and it is your turn. Give a winning move.",
        "You play Nim with heaps of {heaps} (heap 1, heap 2, …), and the player who takes the last object wins. From "
        "which heap do you take how many, so that you can force a win?",
    )
    heaps: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([rng.randint(1, 2 * size) for _ in range(size)])
            if reduce(xor, found.heaps) != 0:
                return found

    def solve(self) -> list[int]:
        total = reduce(xor, self.heaps)
        return next([n, heap - (heap ^ total)] for n, heap in enumerate(self.heaps, 1) if heap ^ total < heap)

    def accepts(self, found: Any) -> bool:
        if len(found) != 2 or not 1 <= found[0] <= len(self.heaps) or not 1 <= found[1] <= self.heaps[found[0] - 1]:
            return False
        heaps = list(self.heaps)
        heaps[found[0] - 1] -= found[1]
        return reduce(xor, heaps) == 0


@family
class TakeAway(Puzzle):
    """All winning moves in a game of taking away."""

    sizes = range(10, 90, 10)
    answer = INTEGERS
    form = "every winning first move, in ascending order, separated by commas"
    wordings = (
        "Two players in turn take {moves} stones from a heap of {stones}. Whoever cannot move loses. With which first "
        "moves can you force a win?",
        "A heap has {stones} stones. A move takes away one of these numbers of stones: {moves}. The player without a "
        "legal move loses. List all winning moves.",
    )
    stones: int
    moves: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(size + rng.randrange(10), sorted(rng.sample(range(1, 10), 3 + size // 30)))
            if bool(found.solve()) and found.solve() != found.moves:
                return found

    def solve(self) -> list[int]:
        wins: list[bool] = []
        for stones in range(self.stones):
            wins.append(any(move <= stones and not wins[stones - move] for move in self.moves))
        return [move for move in self.moves if move <= self.stones and not wins[self.stones - move]]


@family
class AttackedSquares(Puzzle):
    """How many squares rooks, bishops and knights attack."""

    sizes = range(1, 9)
    answer = INTEGER
    wordings = (
        "On an empty chess board of 8 by 8 stand these white pieces, with row and column: {pieces}. How many squares "
        "without a piece do they attack? A piece does not move past another.",
        "Count the empty squares of a chess board that at least one of these pieces attacks (positions as row, "
        "column): {pieces}. Pieces block each other.",
    )
    pieces: list[list[Any]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        cells = rng.sample(range(64), size + 1)
        return cls([[rng.choice(["rook", "bishop", "knight", "queen"]), n // 8 + 1, n % 8 + 1] for n in cells])

    def shown(self) -> dict[str, str]:
        return {"pieces": ", ".join(f"{name} ({x}, {y})" for name, x, y in self.pieces)}

    def solve(self) -> int:
        taken, attacked = {(x, y) for _, x, y in self.pieces}, set()
        steps = [step for step in product((-2, -1, 0, 1, 2), repeat=2) if any(step)]
        for name, x, y in self.pieces:
            for dx, dy in steps:
                straight = abs(dx) + abs(dy) == 1 and name in ("rook", "queen")
                diagonal = abs(dx) == abs(dy) == 1 and name in ("bishop", "queen")
                if not (straight or diagonal or (name == "knight" and {abs(dx), abs(dy)} == {1, 2})):
                    continue
                a, b = x + dx, y + dy
                while 1 <= a <= 8 and 1 <= b <= 8 and (a, b) not in taken:
                    attacked.add((a, b))
                    a, b = (a + dx, b + dy) if name != "knight" else (0, 0)
        return len(attacked)


@family
class HanoiMoves(Puzzle):
    """The towers of Hanoi, from any position."""

    sizes = range(3, 11)
    answer = NAMES
    form = "the moves in order, each as two letters such as AC for the top disc of A onto C, separated by commas"
    wordings = (
        "Discs 1 (smallest) to {count} lie on pegs, never a larger one on a smaller one: {pegs}. Move one disc at a "
        "time until all are on peg {goal}, and never put a larger disc on a smaller one.",
        "Towers of Hanoi: {pegs}. Disc 1 is the smallest. Bring all {count} discs to peg {goal} by legal moves.",
    )
    places: list[str]
    goal: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([rng.choice("ABC") for _ in range(size)], rng.choice("ABC"))
            if set(found.places) != {found.goal}:
                return found

    def shown(self) -> dict[str, str]:
        pegs = {peg: [str(disc) for disc, place in enumerate(self.places, 1) if place == peg] for peg in "ABC"}
        lists = ", ".join(f"{peg} holds {' '.join(discs) or 'none'}" for peg, discs in pegs.items())
        return {"count": str(len(self.places)), "pegs": lists, "goal": self.goal}

    def solve(self) -> list[str]:
        places, moves = list(self.places), list[str]()

        def gather(count: int, goal: str) -> None:
            if not count:
                return
            if places[count - 1] != goal:
                (other,) = set("ABC") - {places[count - 1], goal}
                gather(count - 1, other)
                moves.append(places[count - 1] + goal)
                places[count - 1] = goal
            gather(count - 1, goal)

        gather(len(places), self.goal)
        return moves

    def accepts(self, found: Any) -> bool:
        pegs = {peg: [disc for disc in range(len(self.places), 0, -1) if self.places[disc - 1] == peg] for peg in "ABC"}
        for move in found:
            source, target = pegs.get(move[:1].upper()), pegs.get(move[1:].upper())
            if not source or target is None or (target and target[-1] < source[-1]):
                return False
            target.append(source.pop())
        return len(pegs[self.goal]) == len(self.places)


@family
class PokerHands(Puzzle):
    """What several poker hands are called."""

    sizes = range(2, 10)
    answer = NAMES
    form = (
        "for each hand in order one of high-card, pair, two-pairs, three, straight, flush, full-house, four, "
        "straight-flush, separated by commas"
    )
    wordings = (
        "What are these poker hands worth? The ranks are 2 to 9, T, J, Q, K, A (an ace is high only); the suits are "
        "c, d, h, s.\n{hands}",
        "Name the best category of each of these hands of five cards (rank and suit; the ace counts as high "
        "only):\n{hands}",
    )
    hands: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([" ".join(cls._hand(rng)) for _ in range(size)])

    @staticmethod
    def _hand(rng: Random) -> list[str]:
        ranks, suits = "23456789TJQKA", "cdhs"
        kind = rng.randrange(5)
        if kind == 0:
            low = rng.randrange(9)
            hand = [rank + rng.choice(suits) for rank in ranks[low : low + 5]]
        elif kind == 1:
            suit = rng.choice(suits)
            hand = [rank + suit for rank in rng.sample(ranks, 5)]
        else:
            few = rng.sample(ranks, kind)
            hand = rng.sample([rank + suit for rank in few for suit in suits], 5) if kind < 4 else []
            hand = hand or rng.sample([rank + suit for rank in ranks for suit in suits], 5)
        return rng.sample(hand, 5)

    @staticmethod
    def _category(hand: str) -> str:
        cards = hand.split()
        ranks = sorted("23456789TJQKA".index(card[0]) for card in cards)
        counts = sorted(Counter(ranks).values(), reverse=True)
        flush, straight = len({card[1] for card in cards}) == 1, counts[0] == 1 and ranks[4] - ranks[0] == 4
        if flush or straight:
            return "-".join(["straight"] * straight + ["flush"] * flush)
        names = {(4, 1): "four", (3, 2): "full-house", (3, 1): "three", (2, 2): "two-pairs", (2, 1): "pair"}
        return names.get((counts[0], counts[1]), "high-card")

    def solve(self) -> list[str]:
        return [self._category(hand) for hand in self.hands]

    def accepts(self, found: Any) -> bool:
        return [word.lower() for word in found] == self.solve()


@family
class WinningLine(Puzzle):
    """A move that wins four in a row at once."""

    sizes = range(5, 13)
    answer = INTEGER
    form = "the number of a column in which X wins at once"
    wordings = (
        "In this game of four in a row, pieces fall to the lowest free cell of a column. X is to move and can win at "
        "once. In which column (counted from 1 at the left)?\n{grid}",
        "X drops a piece into a column, and it falls as far as it can. Find a column, counted from 1, that gives X "
        "four in a line horizontally, vertically or diagonally:\n{grid}",
    )
    grid: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            columns = [[rng.choice("XOO") for _ in range(rng.randint(0, size - 1))] for _ in range(size)]
            rows = [[column[n] if n < len(column) else "." for column in columns] for n in range(size)]
            found = cls(rows[::-1])
            if not found._has_line(found.grid) and 0 < len(found._wins()) < 3:
                return found

    @staticmethod
    def _has_line(grid: list[list[str]]) -> bool:
        """Whether four X are in a line; the bars keep lines from going on at the other side."""
        cells, width = "|".join(map("".join, grid)), len(grid) + 1
        return any("XXXX" in cells[start::step] for step in (1, width - 1, width, width + 1) for start in range(step))

    def _wins(self) -> list[int]:
        return [column for column in range(1, len(self.grid) + 1) if self.accepts(column)]

    def solve(self) -> int:
        return self._wins()[0]

    def accepts(self, found: Any) -> bool:
        if not 1 <= found <= len(self.grid):
            return False
        free = [row for row, cells in enumerate(self.grid) if cells[found - 1] == "."]
        grid = [list(cells) for cells in self.grid]
        if free:
            grid[free[-1]][found - 1] = "X"
        return bool(free) and self._has_line(grid)
