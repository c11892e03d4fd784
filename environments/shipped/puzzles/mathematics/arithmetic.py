"""Puzzles of arithmetic: long numbers, expressions, fractions and digits."""

from fractions import Fraction
from random import Random
from typing import Any, Self

from ...calculator.expression import evaluate
from ..answers import FRACTION, INTEGER, INTEGERS, LINE
from ..puzzle import Puzzle, family, until


def number(rng: Random, digits: int) -> int:
    """A number with this many digits."""
    return rng.randint(10 ** (digits - 1) if digits > 1 else 2, 10**digits - 1)


@family
class Multiplication(Puzzle):
    """The product of two numbers."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = ("What is {a} times {b}?", "Multiply {a} by {b}.")
    a: int
    b: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(number(rng, size), number(rng, size))

    def solve(self) -> int:
        return self.a * self.b


@family
class Division(Puzzle):
    """The quotient and the remainder of two numbers."""

    sizes = range(3, 11)
    answer = INTEGERS
    form = "the quotient and the remainder, separated by a comma"
    wordings = ("Divide {a} by {b}, with remainder.", "How many times does {b} go into {a}, and what remains?")
    a: int
    b: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(number(rng, size), number(rng, size // 2))

    def solve(self) -> list[int]:
        return list(divmod(self.a, self.b))


@family
class Expression(Puzzle):
    """The value of an expression with brackets."""

    sizes = range(2, 18, 2)
    answer = INTEGER
    wordings = ("What is the value of {expression}?", "Calculate {expression}.", "Evaluate: {expression}")
    expression: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        parts = [str(rng.randint(2, 20)) for _ in range(size + 1)]
        while len(parts) > 1:
            place = rng.randrange(len(parts) - 1)
            joined = f"{parts[place]} {rng.choice('+-*')} {parts[place + 1]}"
            parts[place : place + 2] = [f"({joined})" if len(parts) > 2 else joined]
        return cls(parts[0])

    def solve(self) -> int:
        return int(evaluate(self.expression))


@family
class BaseConversion(Puzzle):
    """A number in one base, to be written in another."""

    sizes = range(3, 11)
    answer = INTEGERS
    form = "the digits from left to right, each as a decimal number, separated by commas"
    wordings = (
        "The digits {digits} stand for a number in base {base}. Which digits does it have in base {target}?",
        "Convert the number with the base-{base} digits {digits} to base {target}.",
    )
    digits: list[int]
    base: int
    target: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        base, target = rng.sample(range(2, 17), 2)
        return cls([rng.randrange(1, base), *(rng.randrange(base) for _ in range(size - 1))], base, target)

    def solve(self) -> list[int]:
        value, digits = 0, []
        for digit in self.digits:
            value = value * self.base + digit
        while value:
            value, digit = divmod(value, self.target)
            digits.append(digit)
        return digits[::-1]


@family
class FractionSum(Puzzle):
    """The sum of several fractions."""

    sizes = range(2, 10)
    answer = FRACTION
    wordings = ("What is {terms}?", "Add these fractions: {terms}")
    tops: list[int]
    bottoms: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        bottoms = [rng.randint(2, 15) for _ in range(size)]
        return cls([rng.randint(1, bottom - 1) for bottom in bottoms], bottoms)

    def shown(self) -> dict[str, str]:
        return {"terms": " + ".join(f"{a}/{b}" for a, b in zip(self.tops, self.bottoms, strict=True))}

    def solve(self) -> Fraction:
        return sum(map(Fraction, self.tops, self.bottoms), Fraction(0))


@family
class ContinuedFraction(Puzzle):
    """The value of a continued fraction."""

    sizes = range(2, 10)
    answer = FRACTION
    wordings = (
        "What is the value of the continued fraction [{head}; {tail}]?",
        "The continued fraction [{head}; {tail}] is a rational number. Which one?",
    )
    parts: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([rng.randint(1, 9) for _ in range(size)] + [rng.randint(2, 9)])

    def shown(self) -> dict[str, str]:
        return {"head": str(self.parts[0]), "tail": ", ".join(map(str, self.parts[1:]))}

    def solve(self) -> Fraction:
        value = Fraction(self.parts[-1])
        for part in self.parts[-2::-1]:
            value = part + 1 / value
        return value


@family
class MissingDigits(Puzzle):
    """A multiplication with unreadable digits."""

    sizes = range(2, 10)
    answer = INTEGERS
    form = "the first factor, the second factor and the product, separated by commas"
    wordings = (
        "Some digits are unreadable: {first} * {second} = {product}. Put a digit for each ? so that it is right.",
        "Restore {first} * {second} = {product}, in which each ? is one digit.",
    )
    first: str
    second: str
    product: str
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        a, b = rng.randint(10 ** (size - 1), 10**size - 1), rng.randint(2, 9)
        hidden = [list(str(number)) for number in (a, b, a * b)]
        places = [(i, j) for i in (0, 2) for j in range(len(hidden[i]))]
        for i, j in rng.sample(places, size // 2 + 1):
            hidden[i][j] = "?"
        first, second, product = ("".join(digits) for digits in hidden)
        return cls(first, second, product, [a, b, a * b])

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        shapes = (self.first, self.second, self.product)
        if len(found) != 3 or found[0] * found[1] != found[2]:
            return False
        texts = list(map(str, found))
        return all(
            len(text) == len(shape) and all(mark in ("?", digit) for mark, digit in zip(shape, text, strict=True))
            for text, shape in zip(texts, shapes, strict=True)
        )


@family
class TruthfulDigits(Puzzle):
    """A number with given digit sum, digit product and divisor."""

    sizes = range(3, 11)
    answer = LINE
    form = "the number, with all its digits and no separators"
    wordings = (
        "Find a number with {digits} digits, none of them 0, whose digits have the sum {total}, and which {divisor} "
        "divides.",
        "Which number of {digits} digits from 1 to 9 is a multiple of {divisor} and has the digit sum {total}? Any "
        "counts.",
    )
    digits: int
    total: int
    divisor: int
    plan: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        divisor = rng.choice([7, 11, 13, 17, 19, 23])
        plan = until(lambda: "".join(rng.choices("123456789", k=size)), lambda found: int(found) % divisor == 0)
        return cls(size, sum(map(int, plan)), divisor, plan)

    def solve(self) -> str:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if len(found) != self.digits or not set(found) <= set("123456789"):
            return False
        return sum(map(int, found)) == self.total and int(found) % self.divisor == 0
