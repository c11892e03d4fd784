"""Puzzles that make a number, a sum or a code fit its rules."""

import re
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any, Self

from ...calculator.expression import NotAnExpression, evaluate
from ..answers import ASSIGNMENT, LINE
from ..puzzle import Puzzle, family

_NUMBER = re.compile(r"[0-9]+")


def value_of(expression: str) -> Fraction | None:
    """The value of an expression with integers, ``+ - * /`` and brackets; None if it is something else."""
    text = expression.replace("×", "*").replace("÷", "/")
    if "." in text:
        return None
    try:
        return evaluate(text)
    except NotAnExpression:
        return None


def numbers_in(expression: str) -> Counter[int]:
    """The numbers of an expression, each with how often it occurs."""
    return Counter(int(digits[:40]) for digits in _NUMBER.findall(expression))


def combined(rng: Random, numbers: list[int]) -> str:
    """A random expression that has each number once, without divisions, and a positive value at each step."""
    parts = [(str(number), number) for number in numbers]
    while len(parts) > 1:
        (left, a), (right, b) = sorted(
            (parts.pop(rng.randrange(len(parts))) for _ in range(2)), key=lambda part: -part[1]
        )
        sign = rng.choice("+-*" if a > b and a * b < 1000 else "+-" if a > b else "+")
        parts.append((f"({left} {sign} {right})", {"+": a + b, "-": a - b, "*": a * b}[sign]))
    return parts[0][0].removeprefix("(").removesuffix(")")


@family
class Game24(Puzzle):
    """Four numbers to be combined to 24."""

    sizes = range(6, 14)
    answer = LINE
    form = "an expression with the four numbers, the signs + - * / and brackets, without an equals sign"
    wordings = (
        "Combine {numbers} to 24 with + - * / and brackets. Use each of the four numbers exactly once.",
        "Play the game of 24 with {numbers}: each number is used once, and the value must be 24.",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(sorted([size, *(rng.randint(1, size) for _ in range(3))]))
            if bool(found.solve()):
                return found

    def solve(self) -> str:
        return _combination([(number, 1, str(number)) for number in self.numbers], 24, set())

    def accepts(self, found: Any) -> bool:
        return numbers_in(found) == Counter(self.numbers) and value_of(found) == 24


def _combination(parts: list[tuple[int, int, str]], target: int, seen: set[tuple[tuple[int, int], ...]]) -> str:
    """An expression of all ``parts`` (numerator, denominator, text) with the value ``target``, else an empty text."""
    if len(parts) == 1:
        top, bottom, text = parts[0]
        return text.removeprefix("(").removesuffix(")") if top == target * bottom else ""
    state = tuple(sorted(part[:2] for part in parts))
    if state in seen:
        return ""
    seen.add(state)
    for i, (a, b, left) in enumerate(parts):
        for j, (c, d, right) in enumerate(parts):
            if i == j:
                continue
            rest = [part for n, part in enumerate(parts) if n not in (i, j)]
            results = [(a * d - c * b, b * d, "-")] + ([(a * d, b * c, "/")] if c else [])
            results += [(a * d + c * b, b * d, "+"), (a * c, b * d, "*")] if i < j else []
            for top, bottom, sign in results:
                if found := _combination([*rest, (top, bottom, f"({left} {sign} {right})")], target, seen):
                    return found
    return ""


@family
class Countdown(Puzzle):
    """Numbers to be combined to a target, not necessarily all of them."""

    sizes = range(3, 11)
    answer = LINE
    form = "an expression with some of the numbers, the signs + - * / and brackets, without an equals sign"
    wordings = (
        "Make {target} from the numbers {numbers} with + - * / and brackets. Use each number at most once.",
        "Find an expression with the value {target}. It may use each of {numbers} once, with + - * / and brackets.",
    )
    numbers: list[int]
    target: int
    plan: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            numbers = [rng.randint(1, 25) for _ in range(size)]
            plan = combined(rng, rng.sample(numbers, size - size // 4))
            found = cls(numbers, int(evaluate(plan)), plan)
            if found.target > 25:
                return found

    def solve(self) -> str:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return not numbers_in(found) - Counter(self.numbers) and value_of(found) == self.target


@family
class SignedSum(Puzzle):
    """Signs that make a row of numbers give a target."""

    sizes = range(4, 20, 2)
    answer = LINE
    form = "the row with its signs, such as +1 -2 +3"
    wordings = (
        "Put + or - before each of {numbers}, keeping their order, so that the result is {target}.",
        "Choose a sign for each number of {numbers} so that they add up to {target}.",
    )
    numbers: list[int]
    target: int
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = [rng.choice((-1, 1)) * rng.randint(1, 30) for _ in range(size)]
        return cls([abs(number) for number in plan], sum(plan), plan)

    def solve(self) -> str:
        return " ".join(f"{number:+d}" for number in self.plan)

    def accepts(self, found: Any) -> bool:
        if not re.fullmatch(r"[-+]?[0-9 ]+(?:[-+][0-9 ]+)*", found):
            return False
        parts = re.findall(r"[-+]?[0-9]{1,9}", found.replace(" ", ""))
        return [abs(int(part)) for part in parts] == self.numbers and sum(map(int, parts)) == self.target


@family
class Cryptarithm(Puzzle):
    """A sum in which letters stand for digits."""

    sizes = range(2, 10)
    answer = ASSIGNMENT
    form = "each letter with its digit, such as X=1, Y=2"
    wordings = (
        "Each letter stands for a digit of its own, and no number begins with 0: {first} + {second} = {total}. Which "
        "digits make this right?",
        "Solve the cryptarithm {first} + {second} = {total}. Different letters are different digits; a first letter "
        "is not 0.",
    )
    first: str
    second: str
    total: str
    plan: list[list[Any]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        a, b = (rng.randint(10 ** (size - 1), 10**size - 1) for _ in range(2))
        letters = rng.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)
        words = ["".join(letters[int(digit)] for digit in str(number)) for number in (a, b, a + b)]
        used = sorted(set("".join(words)))
        return cls(words[0], words[1], words[2], [[letter, letters.index(letter)] for letter in used])

    def solve(self) -> dict[str, int]:
        return {letter: digit for letter, digit in self.plan}

    def accepts(self, found: Any) -> bool:
        words = (self.first, self.second, self.total)
        if set(found) != set("".join(words)) or len(set(found.values())) < len(found) or max(found.values()) > 9:
            return False
        a, b, total = (int("".join(str(found[letter]) for letter in word)) for word in words)
        return a + b == total and all(found[word[0]] for word in words)
