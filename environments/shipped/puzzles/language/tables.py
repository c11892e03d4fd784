"""Puzzles about tables of data."""

from collections import Counter
from fractions import Fraction
from random import Random
from statistics import median
from typing import Any, ClassVar, Self

from ..answers import FRACTION, INTEGER, INTEGERS, NAMES, NUMBERS
from ..puzzle import Puzzle, family, until
from .logic import PEOPLE

CITIES = ["Bern", "Cork", "Lyon", "Oslo"]
PRODUCTS = ["apples", "bread", "cheese", "dates", "eggs"]
Sale = list[Any]


def sales(rng: Random, count: int) -> list[Sale]:
    """Rows of number, city, product and amount."""
    return [[n, rng.choice(CITIES), rng.choice(PRODUCTS), rng.randint(1, 99)] for n in range(1, count + 1)]


class _Sales(Puzzle):
    """A question about a table of sales."""

    sizes: ClassVar[Any] = range(5, 45, 5)
    rows: list[Sale]

    def table(self) -> str:
        """The table with a head."""
        lines = [" | ".join(map(str, row)) for row in self.rows]
        return "\n".join(["number | city | product | amount", *lines])

    def shown(self) -> dict[str, str]:
        return {**super().shown(), "table": self.table()}


@family
class FilteredSum(_Sales):
    """The total of the rows that fit."""

    answer = INTEGER
    wordings = (
        "What is the total amount of {product} sold in {city} or {other}?\n{table}",
        "Add up the amounts of all rows with the product {product} in the cities {city} and {other}:\n{table}",
    )
    rows: list[Sale]
    product: str
    city: str
    other: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(sales(rng, size), rng.choice(PRODUCTS), *rng.sample(CITIES, 2))
            if found.solve() > 0:
                return found

    def solve(self) -> int:
        return sum(row[3] for row in self.rows if row[2] == self.product and row[1] in (self.city, self.other))


@family
class GroupedTotals(_Sales):
    """The total of each group."""

    answer = INTEGERS
    form = "the totals of Bern, Cork, Lyon and Oslo, in this order, separated by commas"
    wordings = (
        "What is the total amount sold in each city?\n{table}",
        "Group these rows by city and add up the amounts (0 for a city without rows):\n{table}",
    )
    rows: list[Sale]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(sales(rng, size))

    def solve(self) -> list[int]:
        return [sum(row[3] for row in self.rows if row[1] == city) for city in CITIES]


@family
class SortedRows(_Sales):
    """The rows in the order of two columns."""

    answer = INTEGERS
    form = "the numbers of all rows in their order, separated by commas"
    wordings = (
        "Sort the rows by city, alphabetically, and those of one city by amount, the largest first. Equal rows keep "
        "their order.\n{table}",
        "Order this table by city (A to Z) and then by amount (descending); ties stay in the order of their "
        "numbers:\n{table}",
    )
    rows: list[Sale]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(
            until(lambda: sales(rng, size), lambda rows: rows != sorted(rows, key=lambda row: (row[1], -row[3])))
        )

    def solve(self) -> list[int]:
        return [row[0] for row in sorted(self.rows, key=lambda row: (row[1], -row[3]))]


@family
class PivotTable(_Sales):
    """Totals by two columns."""

    answer = NUMBERS
    form = "the totals as a grid, with a line for each of Bern, Cork, Lyon, Oslo and columns for apples, bread, cheese, dates, eggs"  # noqa: E501
    wordings = (
        "Make a pivot table of the total amounts by city and product, with 0 where there is none:\n{table}",
        "Add up the amounts for each pair of city and product (0 if there is no row):\n{table}",
    )
    rows: list[Sale]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(sales(rng, size))

    def solve(self) -> list[list[int]]:
        return [[sum(r[3] for r in self.rows if r[1:3] == [city, product]) for product in PRODUCTS] for city in CITIES]


@family
class RepeatedRows(_Sales):
    """The rows whose city and product occur again."""

    answer = INTEGERS
    form = "the numbers of those rows in ascending order, separated by commas"
    wordings = (
        "Which rows share both city and product with another row?\n{table}",
        "Find all rows for which another row has the same city and the same product:\n{table}",
    )
    rows: list[Sale]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(sales(rng, size))
            if 0 < len(found.solve()) < size:
                return found

    def solve(self) -> list[int]:
        kinds = Counter((row[1], row[2]) for row in self.rows)
        return [row[0] for row in self.rows if kinds[row[1], row[2]] > 1]


@family
class MedianAmount(Puzzle):
    """The median of a list."""

    sizes = range(4, 36, 4)
    answer = FRACTION
    wordings = ("What is the median of {numbers}?", "Find the median (the middle value when sorted) of {numbers}.")
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([rng.randint(1, 200) for _ in range(size + rng.randrange(2))])

    def solve(self) -> Fraction:
        return Fraction(median(map(Fraction, self.numbers)))


@family
class Variance(Puzzle):
    """The variance of a list."""

    sizes = range(3, 11)
    answer = FRACTION
    wordings = (
        "What is the population variance of {numbers}?",
        "Calculate the mean of the squared distances from the mean, for {numbers}.",
    )
    numbers: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(until(lambda: [rng.randint(1, 30) for _ in range(size)], lambda found: len(set(found)) > 1))

    def solve(self) -> Fraction:
        mean = Fraction(sum(self.numbers), len(self.numbers))
        return sum(((n - mean) ** 2 for n in self.numbers), Fraction(0)) / len(self.numbers)


@family
class JoinedTables(Puzzle):
    """People found over two tables."""

    sizes = range(4, 12)
    answer = NAMES
    form = "the names in alphabetical order, separated by commas"
    wordings = (
        "Who lives in {city} and has an order above {limit}?\n\nname | city\n{homes}\n\nname | order\n{orders}",
        "Join these tables by name, and list everyone from {city} with at least one order of more than "
        "{limit}:\n\nname | city\n{homes}\n\nname | order\n{orders}",
    )
    homes: list[list[str]]
    orders: list[list[Any]]
    city: str
    limit: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            people = rng.sample(PEOPLE, size)
            orders = [[rng.choice(people), rng.randint(1, 99)] for _ in range(2 * size)]
            found = cls([[name, rng.choice(CITIES[:3])] for name in people], orders, rng.choice(CITIES[:3]), 50)
            if bool(found.solve()):
                return found

    def shown(self) -> dict[str, str]:
        tables = {"homes": self.homes, "orders": self.orders}
        lines = {name: "\n".join(f"{a} | {b}" for a, b in rows) for name, rows in tables.items()}
        return {**lines, "city": self.city, "limit": str(self.limit)}

    def solve(self) -> list[str]:
        large = {name for name, amount in self.orders if amount > self.limit}
        return sorted(name for name, city in self.homes if city == self.city and name in large)
