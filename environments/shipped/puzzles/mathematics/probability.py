"""Puzzles of probability, with exact answers."""

from fractions import Fraction
from math import comb
from random import Random
from typing import Self

from ..answers import FRACTION
from ..puzzle import Puzzle, family


@family
class DiceSum(Puzzle):
    """The probability of a sum of dice."""

    sizes = range(2, 10)
    answer = FRACTION
    wordings = (
        "What is the probability that {dice} fair dice with {sides} sides (1 to {sides}) show a sum of {total}?",
        "{dice} fair {sides}-sided dice, numbered from 1, are thrown. How likely is the sum {total}?",
    )
    dice: int
    sides: int
    total: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        sides = rng.choice([4, 6, 8, 10, 12, 20])
        return cls(size, sides, rng.randint(size + 1, size * sides - 1))

    def solve(self) -> Fraction:
        ways = {0: 1}
        for _ in range(self.dice):
            after: dict[int, int] = {}
            for total, count in ways.items():
                for side in range(1, self.sides + 1):
                    after[total + side] = after.get(total + side, 0) + count
            ways = after
        return Fraction(ways[self.total], self.sides**self.dice)


@family
class UrnDraw(Puzzle):
    """The probability of drawing so many balls of a colour."""

    sizes = range(4, 36, 4)
    answer = FRACTION
    wordings = (
        "An urn holds {red} red and {blue} blue balls. {drawn} are drawn without putting any back. What is the "
        "probability that exactly {hits} of them are red?",
        "Of {red} red and {blue} blue marbles, {drawn} are taken at random, all at once. How likely are exactly "
        "{hits} red ones?",
    )
    red: int
    blue: int
    drawn: int
    hits: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(rng.randint(2, size), rng.randint(2, size), size // 2, rng.randint(0, size // 2))
            if found.drawn <= found.red + found.blue and 0 < found.solve() < 1:
                return found

    def solve(self) -> Fraction:
        ways = comb(self.red, self.hits) * comb(self.blue, self.drawn - self.hits) if self.hits <= self.drawn else 0
        return Fraction(ways, comb(self.red + self.blue, self.drawn))


@family
class CoinTosses(Puzzle):
    """The probability of at least so many successes."""

    sizes = range(3, 19, 2)
    answer = FRACTION
    wordings = (
        "A coin shows heads with probability {chance}. What is the probability of at least {hits} heads in {tosses} "
        "tosses?",
        "An archer hits with probability {chance}, independently each time. How likely are {hits} or more hits in "
        "{tosses} shots?",
    )
    top: int
    bottom: int
    tosses: int
    hits: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        top, bottom = rng.choice([(1, 2), (1, 3), (2, 3), (1, 4), (3, 4), (2, 5), (3, 5), (1, 6)])
        return cls(top, bottom, size + rng.randrange(2), rng.randint(1, size))

    def shown(self) -> dict[str, str]:
        return {"chance": f"{self.top}/{self.bottom}", "tosses": str(self.tosses), "hits": str(self.hits)}

    def solve(self) -> Fraction:
        p = Fraction(self.top, self.bottom)
        counts = range(self.hits, self.tosses + 1)
        return sum((comb(self.tosses, n) * p**n * (1 - p) ** (self.tosses - n) for n in counts), Fraction(0))


@family
class ExpectedValue(Puzzle):
    """The expected prize of a wheel of fortune."""

    sizes = range(3, 11)
    answer = FRACTION
    wordings = (
        "A wheel has sectors with these prizes; the size of a sector is its share of the wheel:\n{sectors}\nWhat is "
        "the expected prize?",
        "A game pays one of these amounts with these weights:\n{sectors}\nHow much does it pay on average?",
    )
    prizes: list[int]
    weights: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(rng.sample(range(-20, 100), size), [rng.randint(1, 9) for _ in range(size)])

    def shown(self) -> dict[str, str]:
        both = zip(self.prizes, self.weights, strict=True)
        return {"sectors": "\n".join(f"{prize}: size {weight}" for prize, weight in both)}

    def solve(self) -> Fraction:
        total = sum(prize * weight for prize, weight in zip(self.prizes, self.weights, strict=True))
        return Fraction(total, sum(self.weights))


@family
class Bayes(Puzzle):
    """The probability of a cause after an observation."""

    sizes = range(2, 10)
    answer = FRACTION
    wordings = (
        "Factory number, share of all lamps, share of its lamps that are broken:\n{causes}\nA lamp is broken. What is "
        "the probability that it is from factory {asked}?",
        "One of these boxes is chosen with the first probability, and a ball from it is red with the "
        "second:\n{causes}\nThe ball is red. How likely was it box {asked}?",
    )
    weights: list[int]
    percents: list[int]
    asked: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        weights = [rng.randint(1, 9) for _ in range(size)]
        return cls(weights, [rng.randint(1, 60) for _ in range(size)], rng.randint(1, size))

    def shown(self) -> dict[str, str]:
        shares = zip(self.weights, self.percents, strict=True)
        lines = [f"{n}: {weight}/{sum(self.weights)}, {percent}/100" for n, (weight, percent) in enumerate(shares, 1)]
        return {"causes": "\n".join(lines), "asked": str(self.asked)}

    def solve(self) -> Fraction:
        parts = [weight * percent for weight, percent in zip(self.weights, self.percents, strict=True)]
        return Fraction(parts[self.asked - 1], sum(parts))


@family
class MarkovChain(Puzzle):
    """The state of a random process after some steps."""

    sizes = range(1, 9)
    answer = FRACTION
    wordings = (
        "Each day the weather is sunny or rainy. After a sunny day the next is rainy with probability {away}, and "
        "after a rainy day it is sunny with probability {back}. Today is sunny. How likely is sunshine in {steps} "
        "days?",
        "A frog sits on stone A. At each step it changes from A to B with probability {away}, and from B to A with "
        "probability {back}. What is the probability that it sits on A after {steps} steps?",
    )
    away: list[int]
    back: list[int]
    steps: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            away, back = ([rng.randint(1, n - 1), n] for n in (rng.randint(3, 9) for _ in range(2)))
            if Fraction(*away) + Fraction(*back) != 1:
                return cls(away, back, size + 1)

    def shown(self) -> dict[str, str]:
        both = {name: f"{top}/{bottom}" for name, (top, bottom) in (("away", self.away), ("back", self.back))}
        return {**both, "steps": str(self.steps)}

    def solve(self) -> Fraction:
        away, back, here = Fraction(*self.away), Fraction(*self.back), Fraction(1)
        for _ in range(self.steps):
            here = here * (1 - away) + (1 - here) * back
        return here


@family
class SeriesWinner(Puzzle):
    """The probability to win a series of games."""

    sizes = range(3, 11)
    answer = FRACTION
    wordings = (
        "Two players play until one of them has {target} wins. The first wins each game with probability {chance}, "
        "and it stands {first} to {second}. How likely is it that the first player wins the series?",
        "A match is won by whoever wins {target} games first. You win a game with probability {chance}; the score is "
        "{first} to {second} in games, yours first. What is the probability that you win the match?",
    )
    target: int
    first: int
    second: int
    top: int
    bottom: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        top, bottom = rng.choice([(1, 2), (1, 3), (2, 3), (2, 5), (3, 5), (1, 4), (3, 4)])
        while True:
            found = cls(size, rng.randrange(size), rng.randrange(size), top, bottom)
            if found.solve() != Fraction(top, bottom):
                return found

    def shown(self) -> dict[str, str]:
        return {**super().shown(), "chance": f"{self.top}/{self.bottom}"}

    def solve(self) -> Fraction:
        p, need, others = Fraction(self.top, self.bottom), self.target - self.first, self.target - self.second
        lost = range(others)
        return sum((comb(need - 1 + n, n) * p**need * (1 - p) ** n for n in lost), Fraction(0))
