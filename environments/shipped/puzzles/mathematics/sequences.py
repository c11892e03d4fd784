"""Puzzles about sequences of numbers."""

from bisect import bisect_left
from itertools import pairwise
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, WORD
from ..puzzle import Puzzle, family, until


def is_subsequence(found: list[Any], whole: list[Any]) -> bool:
    """Whether ``found`` is left of ``whole`` if some items are deleted."""
    rest = iter(whole)
    return all(item in rest for item in found)


def distinct(rng: Random, count: int, bound: int = 99) -> list[int]:
    """Different positive numbers, not in rising order."""
    return until(lambda: rng.sample(range(1, bound + 1), count), lambda found: found != sorted(found))


@family
class NextTerm(Puzzle):
    """The next term of a polynomial sequence."""

    sizes = range(1, 9)
    answer = INTEGER
    wordings = (
        "A polynomial of degree {degree} in n gives the terms for n = 1, 2, 3, …: {terms}. What is the next term?",
        "The sequence {terms} follows a polynomial of degree {degree}. Continue it by one term.",
    )
    terms: list[int]
    degree: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        row = [rng.randint(-9, 9) for _ in range(size)] + [rng.randint(1, 5)]
        terms = []
        for _ in range(size + 3):
            terms.append(row[0])
            row = [a + b for a, b in pairwise(row)] + [row[-1]]
        return cls(terms, size)

    def solve(self) -> int:
        row, last = self.terms, 0
        while any(row):
            last += row[-1]
            row = [b - a for a, b in pairwise(row)]
        return last


@family
class LinearRecurrence(Puzzle):
    """A term of a sequence in which each term follows from the two before."""

    sizes = range(4, 20, 2)
    answer = INTEGER
    wordings = (
        "Let a(1) = {first}, a(2) = {second} and a(n) = {p} * a(n-1) + {q} * a(n-2). What is a({n})?",
        "A sequence begins with {first}, {second}. Each later term is {p} times the term before plus {q} times the "
        "one before that. What is term number {n}?",
    )
    first: int
    second: int
    p: int
    q: int
    n: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(rng.randint(1, 9), rng.randint(1, 9), rng.randint(1, 4), rng.choice([-3, -2, 2, 3]), size)

    def solve(self) -> int:
        a, b = self.first, self.second
        for _ in range(self.n - 2):
            a, b = b, self.p * b + self.q * a
        return b


@family
class LookAndSay(Puzzle):
    """A term of a look-and-say sequence."""

    sizes = range(2, 10)
    answer = WORD
    form = "the digits without spaces"
    wordings = (
        "Reading a number aloud, run by run, turns 1211 into 111221 (one 1, one 2, two 1s). Do this {steps} times, "
        "beginning with {start}. What is the result?",
        "One step of look-and-say writes each run of equal digits as its length and the digit. What are {steps} such "
        "steps from {start}?",
    )
    start: str
    steps: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls("".join(rng.choice("123") for _ in range(5)), size)

    def solve(self) -> str:
        digits = self.start
        for _ in range(self.steps):
            runs: list[list[Any]] = []
            for digit in digits:
                if runs and runs[-1][1] == digit:
                    runs[-1][0] += 1
                else:
                    runs.append([1, digit])
            digits = "".join(f"{count}{digit}" for count, digit in runs)
        return digits


@family
class SortNumbers(Puzzle):
    """Numbers to be sorted."""

    sizes = range(5, 45, 5)
    answer = INTEGERS
    form = "all the numbers in that order, separated by commas"
    wordings = ("Sort these numbers in {order} order: {numbers}", "Put {numbers} into {order} order.")
    numbers: list[int]
    order: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([rng.randint(-99, 999) for _ in range(size)], rng.choice(["ascending", "descending"]))
            if found.solve() != found.numbers:
                return found

    def solve(self) -> list[int]:
        return sorted(self.numbers, reverse=self.order == "descending")


@family
class RisingSubsequence(Puzzle):
    """A longest rising subsequence."""

    sizes = range(5, 21, 2)
    answer = INTEGERS
    form = "the numbers of the subsequence in order, separated by commas"
    wordings = (
        "Delete as few numbers as possible from {numbers} so that the rest is strictly rising. What is left?",
        "Find a longest strictly rising subsequence of {numbers}.",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(distinct(rng, size))

    def solve(self) -> list[int]:
        best: list[list[int]] = [[n] for n in self.numbers]
        for i, n in enumerate(self.numbers):
            best[i] = [*max((best[j] for j in range(i) if self.numbers[j] < n), key=len, default=[]), n]
        return max(best, key=len)

    def accepts(self, found: Any) -> bool:
        tails: list[int] = []
        for n in self.numbers:
            place = bisect_left(tails, n)
            tails[place : place + 1] = [n]
        rising = all(a < b for a, b in pairwise(found))
        return rising and len(found) == len(tails) and is_subsequence(found, self.numbers)


@family
class MaximumSubarray(Puzzle):
    """The largest sum of neighbouring numbers."""

    sizes = range(5, 37, 4)
    answer = INTEGER
    wordings = (
        "What is the largest sum of one or more neighbouring numbers in {numbers}?",
        "Choose a contiguous part of {numbers} with the largest sum. What is that sum?",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([rng.choice((-1, 1)) * rng.randint(1, 30) for _ in range(size)])

    def solve(self) -> int:
        best = ending = self.numbers[0]
        for n in self.numbers[1:]:
            ending = max(ending, 0) + n
            best = max(best, ending)
        return best


@family
class InversionCount(Puzzle):
    """How many pairs of a list are out of order."""

    sizes = range(4, 20, 2)
    answer = INTEGER
    wordings = (
        "In how many pairs of {numbers} does the larger number come before the smaller one?",
        "Count the inversions of {numbers}: the pairs in which the left number is larger than the right one.",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(distinct(rng, size))

    def solve(self) -> int:
        return sum(a > b for i, a in enumerate(self.numbers) for b in self.numbers[i + 1 :])


@family
class JosephusCircle(Puzzle):
    """The last one left in a counting-out circle."""

    sizes = range(5, 85, 10)
    answer = INTEGER
    wordings = (
        "{people} people stand in a circle, numbered from 1. Counting begins at person 1, and every {step}th person "
        "leaves until one is left. Which number is left?",
        "Of {people} people in a circle (1 to {people}), every {step}th is removed, beginning to count at person 1. "
        "Who remains in the end?",
    )
    people: int
    step: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(size + rng.randrange(10), rng.randint(4, 19))
            if found.solve() not in (found.people, found.step):
                return found

    def solve(self) -> int:
        place = 0
        for people in range(2, self.people + 1):
            place = (place + self.step) % people
        return place + 1


@family
class CollatzSteps(Puzzle):
    """How many steps of the Collatz rule lead to 1."""

    sizes = (10, 30, 100, 300, 1000, 3000, 10000, 30000)
    answer = INTEGER
    wordings = (
        "Halve an even number, and replace an odd number n by 3n + 1. How many such steps lead from {start} to 1?",
        "How long does the Collatz sequence take from {start} to 1? Count the steps.",
    )
    start: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(rng.randint(size, 10 * size))
            if 5 <= found.solve() != found.start:
                return found

    def solve(self) -> int:
        n, steps = self.start, 0
        while n != 1:
            n, steps = n // 2 if n % 2 == 0 else 3 * n + 1, steps + 1
        return steps
