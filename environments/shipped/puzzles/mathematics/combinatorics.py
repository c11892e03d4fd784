"""Puzzles of counting and choosing."""

import math
from collections import Counter
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, PAIRS, WORD
from ..puzzle import Puzzle, family, until


@family
class GridPaths(Puzzle):
    """How many paths lead through a grid with blocked cells."""

    sizes = range(4, 12)
    answer = INTEGER
    wordings = (
        "How many paths lead from the top left to the bottom right cell of this grid, going only right or down, and "
        "never through a cell marked #?\n{grid}",
        "A token moves right or down from the top left corner to the bottom right one and may not enter #. How many "
        "ways are there?\n{grid}",
    )
    grid: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            cells = [[rng.choice("....#") for _ in range(size)] for _ in range(size)]
            cells[0][0] = cells[-1][-1] = "."
            found = cls(cells)
            if found.solve() > 1:
                return found

    def solve(self) -> int:
        ways = [1] + [0] * (len(self.grid) - 1)
        for row in self.grid:
            for n, cell in enumerate(row):
                ways[n] = 0 if cell == "#" else ways[n] + (ways[n - 1] if n else 0)
        return ways[-1]


@family
class PermutationByRank(Puzzle):
    """A permutation by its place in alphabetical order."""

    sizes = range(3, 11)
    answer = WORD
    wordings = (
        "All arrangements of the letters {letters} are sorted alphabetically. Which is number {rank}, counting from 1?",
        "List the permutations of {letters} in dictionary order. What is the permutation at place {rank}?",
    )
    letters: str
    rank: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        letters = "".join(sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", size)))
        return cls(letters, rng.randint(2, math.factorial(size)))

    def solve(self) -> str:
        rest, rank, found = list(self.letters), self.rank - 1, ""
        while rest:
            place, rank = divmod(rank, math.factorial(len(rest) - 1))
            found += rest.pop(place)
        return found


@family
class AnagramCount(Puzzle):
    """How many arrangements of letters are different."""

    sizes = range(4, 12)
    answer = INTEGER
    wordings = (
        "How many different arrangements do the letters of {letters} have?",
        "In how many distinguishable ways can the letters {letters} be put in a row?",
    )
    letters: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        alphabet = rng.sample("abcdefghijklmnopqrstuvwxyz", max(2, size // 2))
        return cls(until(lambda: "".join(rng.choices(alphabet, k=size)), lambda found: len(set(found)) > 1))

    def solve(self) -> int:
        return math.factorial(len(self.letters)) // math.prod(map(math.factorial, Counter(self.letters).values()))


@family
class ChangeWays(Puzzle):
    """In how many ways coins make an amount."""

    sizes = range(10, 90, 10)
    answer = INTEGER
    wordings = (
        "In how many ways can coins of {coins} make {amount}? Order does not matter, and there are enough of each.",
        "There are coins worth {coins}, as many as you like. How many multisets of coins are worth {amount}?",
    )
    coins: list[int]
    amount: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(sorted(rng.sample(range(2, 13), 3 + size // 40)), size + rng.randrange(10))
            if found.solve() > 1:
                return found

    def solve(self) -> int:
        ways = [1] + [0] * self.amount
        for coin in self.coins:
            for total in range(coin, self.amount + 1):
                ways[total] += ways[total - coin]
        return ways[-1]


@family
class PartitionCount(Puzzle):
    """In how many ways a number is a sum of so many positive numbers."""

    sizes = range(8, 40, 4)
    answer = INTEGER
    wordings = (
        "In how many ways is {number} a sum of {parts} positive integers, none above {most}, if order does not matter?",
        "Count the partitions of {number} into exactly {parts} parts, each of them at most {most}.",
    )
    number: int
    parts: int
    most: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(size + rng.randrange(4), rng.randint(2, 2 + size // 4), rng.randint(3, size))
            if found.solve() > 1:
                return found

    def solve(self) -> int:
        ways = [[1] + [0] * self.number] + [[0] * (self.number + 1) for _ in range(self.parts)]
        for part in range(1, self.most + 1):
            for count in range(1, self.parts + 1):
                for total in range(part, self.number + 1):
                    ways[count][total] += ways[count - 1][total - part]
        return ways[self.parts][self.number]


@family
class SubsetSum(Puzzle):
    """Numbers of a list with a given sum."""

    sizes = range(5, 21, 2)
    answer = INTEGERS
    form = "the chosen numbers, separated by commas"
    wordings = (
        "Choose some of the numbers {numbers} so that their sum is {total}. Each may be used once.",
        "Which of {numbers} add up to {total}? Any right choice counts; use each number at most once.",
    )
    numbers: list[int]
    total: int
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        numbers = rng.sample(range(3, 100), size)
        plan = rng.sample(numbers, rng.randint(2, max(2, size // 2)))
        return cls(numbers, sum(plan), plan)

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return sum(found) == self.total and not Counter(found) - Counter(self.numbers)


@family
class EqualHalves(Puzzle):
    """Numbers to be split into two groups with equal sums."""

    sizes = range(6, 22, 2)
    answer = INTEGERS
    form = "the numbers of one group, separated by commas"
    wordings = (
        "Split the numbers {numbers} into two groups with equal sums. Which numbers are in one of the groups?",
        "Divide {numbers} into two parts with the same total, and give one part.",
    )
    numbers: list[int]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def draw() -> tuple[list[int], int]:
            plan, others = ([rng.randint(1, 60) for _ in range(size // 2 - n)] for n in range(2))
            return [*plan, *others], sum(plan) - sum(others)

        numbers, last = until(draw, lambda found: 1 <= found[1] <= 60)
        plan = numbers[: size // 2]
        numbers.append(last)
        rng.shuffle(numbers)
        return cls(numbers, plan)

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return 2 * sum(found) == sum(self.numbers) and not Counter(found) - Counter(self.numbers)


@family
class ExactCover(Puzzle):
    """Sets that together contain everything once."""

    sizes = range(6, 22, 2)
    answer = INTEGERS
    form = "the numbers of the chosen sets, separated by commas"
    wordings = (
        "Choose some of these sets so that each of 1 to {elements} is in exactly one chosen set:\n{sets}",
        "Which of these sets contain every number from 1 to {elements} exactly once between them?\n{sets}",
    )
    elements: int
    groups: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        elements, groups = rng.sample(range(1, size + 1), size), []
        while elements:
            count = rng.randint(1, 3)
            groups.append(sorted(elements[:count]))
            elements = elements[count:]
        chosen = [tuple(group) for group in groups]
        groups += [sorted(rng.sample(range(1, size + 1), rng.randint(2, 4))) for _ in range(size // 2 + 2)]
        rng.shuffle(groups)
        return cls(size, groups, [groups.index(list(group)) + 1 for group in chosen])

    def shown(self) -> dict[str, str]:
        lines = (f"{n}: {', '.join(map(str, group))}" for n, group in enumerate(self.groups, 1))
        return {"elements": str(self.elements), "sets": "\n".join(lines)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if len(set(found)) < len(found) or not all(1 <= n <= len(self.groups) for n in found):
            return False
        covered = [element for n in found for element in self.groups[n - 1]]
        return sorted(covered) == list(range(1, self.elements + 1))


@family
class PigeonPairs(Puzzle):
    """Numbers to be paired so that all pairs have the same sum."""

    sizes = range(3, 11)
    answer = PAIRS
    form = "all the pairs, such as (1, 9), (4, 6)"
    wordings = (
        "Pair up the numbers {numbers} so that every pair has the sum {total}.",
        "Put {numbers} into pairs that each add up to {total}.",
    )
    numbers: list[int]
    total: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        total = rng.randint(60, 99) | 1
        numbers = [n for first in rng.sample(range(1, total // 2 + 1), size) for n in (first, total - first)]
        rng.shuffle(numbers)
        return cls(numbers, total)

    def solve(self) -> list[tuple[int, int]]:
        return [(n, self.total - n) for n in sorted(self.numbers) if 2 * n < self.total]

    def accepts(self, found: Any) -> bool:
        used = sorted(n for pair in found for n in pair)
        return used == sorted(self.numbers) and all(sum(pair) == self.total for pair in found)
