"""Puzzles of arithmetic and number theory."""

import math
from itertools import count
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS
from ..puzzle import Puzzle, family, until
from .arithmetic import number

PRIMES = [n for n in range(2, 1000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
"""The primes below 1000."""


def factors(n: int) -> list[int]:
    """The prime factors of ``n`` in ascending order, each as often as it divides."""
    found: list[int] = []
    for prime in count(2):
        if prime * prime > n:
            return [*found, n] if n > 1 else found
        while n % prime == 0:
            found.append(prime)
            n //= prime
    return found


@family
class GreatestCommonDivisor(Puzzle):
    """The greatest common divisor of two numbers."""

    sizes = range(1, 9)
    answer = INTEGER
    wordings = (
        "What is the greatest common divisor of {a} and {b}?",
        "Find the largest integer that divides both {a} and {b}.",
    )
    a: int
    b: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        common, a = number(rng, size), rng.randint(2, 30)
        return cls(common * a, common * until(lambda: rng.randint(2, 30), lambda b: b % a != 0 and a % b != 0))

    def solve(self) -> int:
        return math.gcd(self.a, self.b)


@family
class LeastCommonMultiple(Puzzle):
    """The least common multiple of several numbers."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = (
        "What is the least common multiple of {numbers}?",
        "Find the smallest positive integer that all of {numbers} divide.",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        numbers = until(lambda: rng.sample(range(4, 41), size), lambda found: math.lcm(*found) > max(found))
        return cls(sorted(numbers))

    def solve(self) -> int:
        return math.lcm(*self.numbers)


@family
class PrimeFactors(Puzzle):
    """The prime factors of a number."""

    sizes = range(2, 10)
    answer = INTEGERS
    form = "the prime factors in ascending order, each as often as it divides the number, separated by commas"
    wordings = ("Factor {number} into primes.", "What are the prime factors of {number}?")
    number: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(math.prod(rng.choice(PRIMES[: 12 * size]) for _ in range((size + 2) // 2)))

    def solve(self) -> list[int]:
        return factors(self.number)


@family
class DivisorCount(Puzzle):
    """How many positive divisors a number has."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = ("How many positive divisors does {number} have?", "Count the positive integers that divide {number}.")
    number: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(until(lambda: math.prod(rng.choice(PRIMES[:9]) for _ in range(size + 1)), lambda found: found != 4))

    def solve(self) -> int:
        found = factors(self.number)
        return math.prod(found.count(prime) + 1 for prime in set(found))


@family
class Totient(Puzzle):
    """Euler's totient of a number."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = (
        "What is Euler's totient of {number}?",
        "How many integers from 1 to {number} have no common divisor above 1 with {number}?",
    )
    number: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(math.prod(rng.choice(PRIMES[:14]) for _ in range(size)))

    def solve(self) -> int:
        total = self.number
        for prime in set(factors(self.number)):
            total -= total // prime
        return total


@family
class ModularPower(Puzzle):
    """A power modulo a number."""

    sizes = range(1, 9)
    answer = INTEGER
    form = "one integer from 0 to one less than the modulus"
    wordings = (
        "What is {base}^{exponent} modulo {modulus}?",
        "What is the remainder when {base}^{exponent} is divided by {modulus}?",
    )
    base: int
    exponent: int
    modulus: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(rng.randint(2, 99), number(rng, size) + 1, number(rng, (size + 3) // 2))
            if found.solve() not in (found.base, found.exponent):
                return found

    def solve(self) -> int:
        return pow(self.base, self.exponent, self.modulus)


@family
class ModularInverse(Puzzle):
    """The inverse of a number modulo another."""

    sizes = range(2, 10)
    answer = INTEGER
    form = "one integer from 1 to one less than the modulus"
    wordings = (
        "What is the inverse of {number} modulo {modulus}?",
        "Find the integer x with {number} * x = 1 modulo {modulus}.",
    )
    number: int
    modulus: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        modulus = number(rng, size)
        while True:
            found = cls(rng.randrange(2, modulus), modulus + rng.randrange(9))
            if math.gcd(found.number, found.modulus) == 1 and found.solve() != found.number:
                return found

    def solve(self) -> int:
        return pow(self.number, -1, self.modulus)


@family
class ChineseRemainder(Puzzle):
    """The smallest number with given remainders."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = (
        "Find the smallest integer x, not negative, with {remainders} as its remainders on division by {moduli}.",
        "The remainders of an integer x on division by {moduli} are {remainders}, in this order. What is the smallest "
        "x that is not negative?",
    )
    remainders: list[int]
    moduli: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        moduli = rng.sample([5, 7, 8, 9, 11, 13, 17, 19, 23, 29, 31], size)
        number = rng.randrange(max(moduli), math.prod(moduli))
        return cls([number % modulus for modulus in moduli], moduli)

    def solve(self) -> int:
        found, step = 0, 1
        for remainder, modulus in zip(self.remainders, self.moduli, strict=True):
            while found % modulus != remainder:
                found += step
            step *= modulus
        return found


@family
class Bezout(Puzzle):
    """Coefficients that combine two numbers to their greatest common divisor."""

    sizes = range(2, 10)
    answer = INTEGERS
    form = "x and y, two integers separated by a comma"
    wordings = (
        "Find integers x and y with {a} * x + {b} * y = {divisor}.",
        "Write {divisor} as {a} * x + {b} * y with integers x and y.",
    )
    a: int
    b: int
    divisor: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        a, b = until(
            lambda: (number(rng, size), number(rng, size)), lambda two: bool(two[0] % two[1] and two[1] % two[0])
        )
        return cls(a, b, math.gcd(a, b))

    def solve(self) -> list[int]:
        x = pow(self.a // self.divisor, -1, self.b // self.divisor)
        return [x, (self.divisor - self.a * x) // self.b]

    def accepts(self, found: Any) -> bool:
        return len(found) == 2 and self.a * found[0] + self.b * found[1] == self.divisor


@family
class TwoSquares(Puzzle):
    """A number as the sum of two squares."""

    sizes = range(1, 9)
    answer = INTEGERS
    form = "two integers separated by a comma"
    wordings = (
        "Find integers a and b with a^2 + b^2 = {number}.",
        "Write {number} as a sum a^2 + b^2; what are a and b?",
    )
    number: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(rng.randint(size * 12 - 11, size * 12) ** 2 + rng.randint(1, size * 12) ** 2)

    def solve(self) -> list[int]:
        rests = ((a, math.isqrt(self.number - a * a)) for a in count(0))
        return next([a, b] for a, b in rests if a * a + b * b == self.number)

    def accepts(self, found: Any) -> bool:
        return len(found) == 2 and found[0] ** 2 + found[1] ** 2 == self.number
