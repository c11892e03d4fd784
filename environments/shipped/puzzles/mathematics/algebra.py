"""Puzzles of algebra: equations, polynomials, fractions and matrices."""

from fractions import Fraction
from random import Random
from typing import Self

from ..answers import FRACTION, INTEGER, INTEGERS, NUMBERS
from ..puzzle import Puzzle, family, until


def term(coefficient: int, power: str) -> str:
    """A term with its sign, such as ``+ 3x^2`` or ``- x``."""
    number = "" if abs(coefficient) == 1 and power.startswith("x") else str(abs(coefficient))
    return f"{'-' if coefficient < 0 else '+'} {number}{power}"


def polynomial(coefficients: list[int]) -> str:
    """A polynomial in x from its coefficients, the highest power first."""
    degree = len(coefficients) - 1
    powers = ["" if n == degree else "x" if n == degree - 1 else f"x^{degree - n}" for n in range(degree + 1)]
    terms = [term(value, power) for value, power in zip(coefficients, powers, strict=True) if value]
    return " ".join(terms).removeprefix("+ ") or "0"


def nonzero(rng: Random, bound: int) -> int:
    """An integer from ``-bound`` to ``bound`` that is not 0."""
    return until(lambda: rng.randint(-bound, bound), bool)


def multiplied(left: list[int], right: list[int]) -> list[int]:
    """The coefficients of a product."""
    found = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            found[i + j] += a * b
    return found


def matrix(rng: Random, size: int, bound: int = 9) -> list[list[int]]:
    """A square matrix of small integers."""
    return [[rng.randint(-bound, bound) for _ in range(size)] for _ in range(size)]


def determinant(rows: list[list[int]]) -> int:
    """The determinant, by Bareiss's elimination without fractions."""
    rows, sign, last = [list(row) for row in rows], 1, 1
    for k in range(len(rows) - 1):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return 0
        if pivot != k:
            rows[k], rows[pivot], sign = rows[pivot], rows[k], -sign
        for i in range(k + 1, len(rows)):
            for j in range(k + 1, len(rows)):
                rows[i][j] = (rows[i][j] * rows[k][k] - rows[i][k] * rows[k][j]) // last
        last = rows[k][k]
    return sign * rows[-1][-1]


@family
class LinearEquation(Puzzle):
    """A linear equation in one unknown."""

    sizes = (3, 6, 12, 25, 50, 100, 300, 1000)
    answer = FRACTION
    wordings = ("Solve {left} = {right} for x.", "For which x is {left} = {right}?")
    coefficients: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        a, c = until(lambda: (nonzero(rng, size), nonzero(rng, size)), lambda two: two[0] != two[1])
        b, d = until(lambda: (nonzero(rng, 9 * size), nonzero(rng, 9 * size)), lambda two: two[0] != two[1])
        return cls([a, b, c, d])

    def shown(self) -> dict[str, str]:
        return {"left": polynomial(self.coefficients[:2]), "right": polynomial(self.coefficients[2:])}

    def solve(self) -> Fraction:
        a, b, c, d = self.coefficients
        return Fraction(d - b, a - c)


@family
class LinearSystem(Puzzle):
    """A system of linear equations with one integer solution."""

    sizes = range(2, 10)
    answer = INTEGERS
    form = "the values of the unknowns x1, x2, … in order, as integers separated by commas"
    wordings = (
        "Solve this system of equations:\n{equations}",
        "Which integers solve all of these equations?\n{equations}",
    )
    rows: list[list[int]]
    totals: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        rows = until(lambda: matrix(rng, size, 4), lambda found: determinant(found) != 0)
        plan = [nonzero(rng, 9) for _ in range(size)]
        return cls(rows, [sum(a * x for a, x in zip(row, plan, strict=True)) for row in rows])

    def shown(self) -> dict[str, str]:
        lines = []
        for row, total in zip(self.rows, self.totals, strict=True):
            terms = [term(a, f"*x{n}") for n, a in enumerate(row, 1) if a]
            lines.append(f"{' '.join(terms).removeprefix('+ ')} = {total}")
        return {"equations": "\n".join(lines)}

    def solve(self) -> list[int]:
        whole = determinant(self.rows)
        replaced = [
            [[*row[:n], total, *row[n + 1 :]] for row, total in zip(self.rows, self.totals, strict=True)]
            for n in range(len(self.rows))
        ]
        return [determinant(rows) // whole for rows in replaced]


@family
class QuadraticRoots(Puzzle):
    """The integer roots of a quadratic equation."""

    sizes = (5, 10, 20, 40, 80, 200, 500, 2000)
    answer = INTEGERS
    form = "both solutions in ascending order, separated by a comma"
    wordings = ("Solve {equation} = 0 for x.", "Which two integers x have {equation} = 0?")
    roots_sum: int
    roots_product: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        a, b = until(lambda: (nonzero(rng, size), nonzero(rng, size)), lambda two: two[0] != two[1])
        return cls(a + b, a * b)

    def shown(self) -> dict[str, str]:
        return {"equation": polynomial([1, -self.roots_sum, self.roots_product])}

    def solve(self) -> list[int]:
        root = round((self.roots_sum**2 - 4 * self.roots_product) ** 0.5)
        return [(self.roots_sum - root) // 2, (self.roots_sum + root) // 2]


@family
class PolynomialProduct(Puzzle):
    """The product of two polynomials."""

    sizes = range(1, 9)
    answer = INTEGERS
    form = "the coefficients of the product, from the highest power to the constant, separated by commas"
    wordings = ("Multiply ({left}) by ({right}).", "Expand ({left}) * ({right}).")
    first: list[int]
    second: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        first, second = ([nonzero(rng, 9) for _ in range(size + 1)] for _ in range(2))
        return cls(first, second)

    def shown(self) -> dict[str, str]:
        return {"left": polynomial(self.first), "right": polynomial(self.second)}

    def solve(self) -> list[int]:
        return multiplied(self.first, self.second)


@family
class PolynomialQuotient(Puzzle):
    """The quotient of two polynomials that divide without remainder."""

    sizes = range(1, 9)
    answer = INTEGERS
    form = "the coefficients of the quotient, from the highest power to the constant, separated by commas"
    wordings = (
        "Divide {product} by {divisor}.",
        "With which polynomial must {divisor} be multiplied to give {product}?",
    )
    dividend: list[int]
    factor: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        factor = [nonzero(rng, 5) for _ in range(size // 3 + 2)]
        quotient = until(lambda: [nonzero(rng, 5) for _ in range(size + 1)], lambda found: found != factor)
        return cls(multiplied(factor, quotient), factor)

    def shown(self) -> dict[str, str]:
        return {"product": polynomial(self.dividend), "divisor": polynomial(self.factor)}

    def solve(self) -> list[int]:
        rest, found = list(self.dividend), []
        for place in range(len(rest) - len(self.factor) + 1):
            found.append(rest[place] // self.factor[0])
            for n, value in enumerate(self.factor):
                rest[place + n] -= found[-1] * value
        return found


@family
class PolynomialValue(Puzzle):
    """The value of a polynomial at a point."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = ("What is {polynomial} at x = {x}?", "Let p(x) = {polynomial}. What is p({x})?")
    coefficients: list[int]
    x: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([nonzero(rng, 9) for _ in range(size + 1)], until(lambda: nonzero(rng, 9), lambda x: abs(x) > 1))

    def shown(self) -> dict[str, str]:
        return {"polynomial": polynomial(self.coefficients), "x": str(self.x)}

    def solve(self) -> int:
        value = 0
        for coefficient in self.coefficients:
            value = value * self.x + coefficient
        return value


@family
class DefiniteIntegral(Puzzle):
    """The integral of a polynomial between two integers."""

    sizes = range(1, 9)
    answer = FRACTION
    wordings = (
        "Integrate {polynomial} from {low} to {high}.",
        "What is the integral of {polynomial} over [{low}, {high}]?",
    )
    coefficients: list[int]
    low: int
    high: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        low = rng.randint(-3, 2)
        return cls([nonzero(rng, 9) for _ in range(size + 1)], low, low + rng.randint(1, 3))

    def shown(self) -> dict[str, str]:
        return {"polynomial": polynomial(self.coefficients), "low": str(self.low), "high": str(self.high)}

    def solve(self) -> Fraction:
        powers = range(len(self.coefficients), 0, -1)
        parts = zip(self.coefficients, powers, strict=True)
        return sum((Fraction(c * (self.high**n - self.low**n), n) for c, n in parts), Fraction(0))


@family
class MatrixProduct(Puzzle):
    """The product of two square matrices."""

    sizes = range(2, 10)
    answer = NUMBERS
    wordings = (
        "Multiply the matrix\n{left}\nby the matrix\n{right}",
        "What is A * B for A =\n{left}\nand B =\n{right}",
    )
    left: list[list[int]]
    right: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(matrix(rng, size), matrix(rng, size))

    def solve(self) -> list[list[int]]:
        columns = list(zip(*self.right, strict=True))
        return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in self.left]


@family
class Determinant(Puzzle):
    """The determinant of a matrix."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = ("What is the determinant of this matrix?\n{rows}", "Calculate the determinant of\n{rows}")
    rows: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(matrix(rng, size, 6))

    def solve(self) -> int:
        return determinant(self.rows)


@family
class GeometricSum(Puzzle):
    """The sum of a geometric series."""

    sizes = range(3, 11)
    answer = FRACTION
    wordings = (
        "Add the first {terms} terms of the geometric series that begins with {first} and has the ratio {ratio}.",
        "A series begins with {first}, and each term is {ratio} times the one before. What is the sum of {terms} "
        "terms?",
    )
    first: int
    top: int
    bottom: int
    terms: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(
            rng.randint(1, 20), *rng.choice([(1, 2), (3, 2), (2, 3), (1, 3), (4, 3), (3, 4), (5, 2), (2, 5)]), size
        )

    def shown(self) -> dict[str, str]:
        return {"first": str(self.first), "ratio": f"{self.top}/{self.bottom}", "terms": str(self.terms)}

    def solve(self) -> Fraction:
        ratio = Fraction(self.top, self.bottom)
        return self.first * (ratio**self.terms - 1) / (ratio - 1)
