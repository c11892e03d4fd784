"""Puzzles of logic."""

from itertools import product
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, NAMES
from ..puzzle import Puzzle, family, until

PEOPLE = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gil", "Hana", "Ivo", "Jane", "Karl", "Lea", "Milo", "Nina"]
"""First names, in alphabetical order."""
PETS = ["cat", "dog", "fish", "frog", "hamster", "horse", "lizard", "parrot", "rabbit", "snake"]
DRINKS = ["beer", "cocoa", "coffee", "cola", "juice", "lemonade", "milk", "tea", "water", "wine"]


@family
class KnightsAndKnaves(Puzzle):
    """People who always tell the truth, and people who always lie."""

    sizes = range(3, 11)
    answer = NAMES
    form = "knight or knave for each of the people in the order of their names above, separated by commas"
    wordings = (
        "Knights always tell the truth, and knaves always lie. {people} say:\n{statements}\nWho is a knight, and who "
        "a knave? Any assignment that fits counts.",
        "On an island everyone is a knight, who never lies, or a knave, who always does. You meet "
        "{people}:\n{statements}\nFind out what each of them can be.",
    )
    claims: list[list[Any]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            knights = [rng.random() < 0.5 for _ in range(size)]
            claims = []
            for speaker in range(size):
                a, b = rng.sample([n for n in range(size) if n != speaker] + [speaker], 2)
                kind = rng.choice(["is a knave", "is a knight", "alike", "different"])
                a = until(lambda: rng.randrange(size), lambda n: n != speaker) if kind.startswith("is") else a  # noqa: B023
                if cls._holds([kind, a, b], knights) != knights[speaker]:
                    kind = {"is a knave": "is a knight", "is a knight": "is a knave", "alike": "different"}.get(
                        kind, "alike"
                    )
                claims.append([kind, a, b])
            found = cls(claims)
            if not found.accepts(["knight"] * size):
                return found

    @staticmethod
    def _holds(claim: list[Any], knights: list[bool]) -> bool:
        kind, a, b = claim
        if kind.startswith("is"):
            return bool(knights[a] == (kind == "is a knight"))
        return bool((knights[a] == knights[b]) == (kind == "alike"))

    def shown(self) -> dict[str, str]:
        lines = []
        for speaker, (kind, a, b) in zip(PEOPLE, self.claims, strict=False):
            both = (
                f"{PEOPLE[a]} and {PEOPLE[b]} are {'both knights or both knaves' if kind == 'alike' else 'not alike'}"
            )
            lines.append(f"{speaker}: {PEOPLE[a]} {kind}." if kind.startswith("is") else f"{speaker}: {both}.")
        return {"people": ", ".join(PEOPLE[: len(self.claims)]), "statements": "\n".join(lines)}

    def _fits(self, knights: list[bool]) -> bool:
        return all(self._holds(claim, knights) == knight for claim, knight in zip(self.claims, knights, strict=True))

    def solve(self) -> list[str]:
        ways = (list(knights) for knights in product((False, True), repeat=len(self.claims)))
        return ["knight" if knight else "knave" for knight in next(filter(self._fits, ways))]

    def accepts(self, found: Any) -> bool:
        words = [word.lower() for word in found]
        if len(words) != len(self.claims) or not set(words) <= {"knight", "knave"}:
            return False
        return self._fits([word == "knight" for word in words])


@family
class Satisfiability(Puzzle):
    """Values that satisfy all clauses of a formula."""

    sizes = range(3, 19, 2)
    answer = INTEGERS
    form = "the values of x1, x2, … in order, 1 for true and 0 for false, separated by commas"
    wordings = (
        "Find values of x1 to x{count} so that each of these clauses is true:\n{formula}",
        "In every line at least one part must be true. Choose true or false for x1 to x{count}:\n{formula}",
    )
    count: int
    clauses: list[list[int]]
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = [rng.randint(0, 1) for _ in range(size)]
        true = [n if value else -n for n, value in enumerate(plan, 1)]
        clauses = []
        for _ in range(3 * size):
            names = rng.sample(range(1, size + 1), 3)
            clause = [rng.choice((-1, 1)) * name for name in names]
            clauses.append(clause if set(clause) & set(true) else [true[names[0] - 1], *clause[1:]])
        return cls(size, clauses, plan)

    def shown(self) -> dict[str, str]:
        lines = (" or ".join(f"not x{-n}" if n < 0 else f"x{n}" for n in clause) for clause in self.clauses)
        return {"count": str(self.count), "formula": "\n".join(lines)}

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if len(found) != self.count or not set(found) <= {0, 1}:
            return False
        return all(any(found[abs(n) - 1] == (n > 0) for n in clause) for clause in self.clauses)


def formula(rng: Random, names: list[str], size: int) -> str:
    """A random formula in Python's notation with so many operators; it has each name if there are enough places."""
    parts = [names[n] if n < len(names) else rng.choice(names) for n in range(size + 1)]
    rng.shuffle(parts)
    while len(parts) > 1:
        left = parts.pop(rng.randrange(len(parts)))
        right = parts.pop(rng.randrange(len(parts)))
        joined = f"({left} {rng.choice(['and', 'or'])} {right})"
        parts.append(f"not {joined}" if rng.random() < 0.3 else joined)
    return parts[0].removeprefix("(").removesuffix(")") if not parts[0].startswith("not") else parts[0]


def is_true(text: str, values: dict[str, bool]) -> bool:
    """The value of a formula that ``formula`` made."""
    tokens = text.replace("(", " ( ").replace(")", " ) ").split()

    def operand() -> bool:
        token = tokens.pop(0)
        if token == "not":
            return not operand()
        if token != "(":
            return values[token]
        value = operation()
        tokens.pop(0)
        return value

    def operation() -> bool:
        value = operand()
        while tokens and tokens[0] != ")":
            sign, other = tokens.pop(0), operand()
            value = (value and other) if sign == "and" else (value or other)
        return value

    return operation()


@family
class ModelCount(Puzzle):
    """How many assignments make a formula true."""

    sizes = range(2, 10)
    answer = INTEGER
    wordings = (
        "The formula is: {formula}\nFor how many of the assignments of true and false to {letters} is it true?",
        "Count the rows of the truth table of this formula in the variables {letters} in which it is true: {formula}",
    )
    names: list[str]
    formula: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        names = list("abcdefgh"[: min(8, 2 + size // 2)])
        while True:
            found = cls(names, formula(rng, names, size + 1))
            if 0 < found.solve() < 2 ** len(names):
                return found

    def shown(self) -> dict[str, str]:
        return {"letters": ", ".join(self.names), "formula": self.formula}

    def solve(self) -> int:
        ways = product((False, True), repeat=len(self.names))
        return sum(is_true(self.formula, dict(zip(self.names, way, strict=True))) for way in ways)


@family
class TruthValues(Puzzle):
    """The values of several formulas."""

    sizes = range(3, 11)
    answer = INTEGERS
    form = "the values of the formulas in order, 1 for true and 0 for false, separated by commas"
    wordings = (
        "Let {values}. Which of these formulas are true?\n{formulas}",
        "With {values}, find the truth value of each line:\n{formulas}",
    )
    values: dict[str, int]
    formulas: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        values = {name: rng.randint(0, 1) for name in "abcde"}
        return cls(values, [formula(rng, rng.sample("abcde", 3), rng.randint(2, size)) for _ in range(size + 1)])

    def shown(self) -> dict[str, str]:
        values = ", ".join(f"{name} be {'true' if value else 'false'}" for name, value in self.values.items())
        return {"values": values.replace(" be ", " = "), "formulas": "\n".join(self.formulas)}

    def solve(self) -> list[int]:
        values = {name: bool(value) for name, value in self.values.items()}
        return [int(is_true(text, values)) for text in self.formulas]


@family
class SeatingOrder(Puzzle):
    """An order of people that fits all clues."""

    sizes = range(3, 11)
    answer = NAMES
    form = "the names from left to right, separated by commas"
    wordings = (
        "{people} sit in a row. Find an order, from left to right, that fits all of this:\n{clues}",
        "Seat {people} on a bench so that every line is true. Any order that fits counts.\n{clues}",
    )
    count: int
    clues: list[list[Any]]
    plan: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan = rng.sample(PEOPLE[:size], size)
        clues = []
        for _ in range(2 * size):
            a, b = rng.sample(range(size), 2)
            kind = "is next to" if abs(a - b) == 1 else "is not next to"
            kind = rng.choice([kind, "is left of" if a < b else "is right of"])
            clues.append([plan[a], kind, plan[b]])
        return cls(size, clues, plan) if plan != PEOPLE[:size] else cls.make(rng, size)

    def shown(self) -> dict[str, str]:
        lines = dict.fromkeys(f"{a} {kind} {b}." for a, kind, b in self.clues)
        return {"people": ", ".join(PEOPLE[: self.count]), "clues": "\n".join(lines)}

    def solve(self) -> list[str]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if sorted(found) != PEOPLE[: self.count]:
            return False
        apart = ((kind, found.index(a) - found.index(b)) for a, kind, b in self.clues)
        tests = {"is next to": lambda n: abs(n) == 1, "is not next to": lambda n: abs(n) > 1}
        tests |= {"is left of": lambda n: n < 0, "is right of": lambda n: n > 0}
        return all(tests[kind](distance) for kind, distance in apart)


@family
class Deduction(Puzzle):
    """What follows from facts by rules."""

    sizes = range(4, 20, 2)
    answer = NAMES
    form = "all letters that are true, in alphabetical order, separated by commas"
    wordings = (
        "These letters are true: {facts}. These rules hold:\n{rules}\nWhich letters are true if the rules are applied "
        "as often as possible?",
        "Start with {facts}, and apply the following rules until nothing changes. Which letters do you have "
        "then?\n{rules}",
    )
    facts: list[str]
    rules: list[list[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: size + 3]
        while True:
            found = cls(sorted(rng.sample(letters, 2 + size // 6)), [rng.sample(letters, 3) for _ in range(size)])
            if len(found.solve()) > len(found.facts):
                return found

    def shown(self) -> dict[str, str]:
        return {"facts": ", ".join(self.facts), "rules": "\n".join(f"{a} and {b} imply {c}" for a, b, c in self.rules)}

    def solve(self) -> list[str]:
        known = set(self.facts)
        for _ in self.rules:
            known |= {c for a, b, c in self.rules if {a, b} <= known}
        return sorted(known)


@family
class WhoOwnsWhat(Puzzle):
    """People with a pet and a drink each, from clues."""

    sizes = range(3, 11)
    answer = NAMES
    form = "the pet of each person in the order of the names, separated by commas"
    wordings = (
        "{people} each have one of these pets: {pets}. Each likes one of these drinks: {drinks}. No two share a pet "
        "or a drink.\n{clues}\nWho can have which pet?",
        "Each of {people} has another pet ({pets}) and another favourite drink ({drinks}).\n{clues}\nFind pets for "
        "all of them that fit.",
    )
    count: int
    clues: list[list[Any]]
    plan: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        pets, drinks = rng.sample(range(size), size), rng.sample(range(size), size)
        clues: list[list[Any]] = [["drink", n, drinks[n]] for n in range(size)]
        for n in range(size):
            other = rng.choice([pet for pet in range(size) if pet != pets[n]])
            clues.append(rng.choice([["both", pets[n], drinks[n]], ["not", n, other], ["not", n, other]]))
        rng.shuffle(clues)
        return cls(size, clues, [pets, drinks]) if pets != list(range(size)) else cls.make(rng, size)

    def shown(self) -> dict[str, str]:
        words = {"drink": "{} likes {}.", "both": "Whoever has the {} likes {}.", "not": "{} does not have the {}."}
        names = {"drink": (PEOPLE, DRINKS), "both": (PETS, DRINKS), "not": (PEOPLE, PETS)}
        lines = [words[kind].format(names[kind][0][a], names[kind][1][b]) for kind, a, b in self.clues]
        lists = {"people": PEOPLE, "pets": PETS, "drinks": DRINKS}
        return {name: ", ".join(all_[: self.count]) for name, all_ in lists.items()} | {"clues": "\n".join(lines)}

    def solve(self) -> list[str]:
        return [PETS[pet] for pet in self.plan[0]]

    def accepts(self, found: Any) -> bool:
        if sorted(found) != sorted(PETS[: self.count]):
            return False
        drinks = {n: drink for kind, n, drink in self.clues if kind == "drink"}
        likes = {pet: drinks[n] for n, pet in enumerate(found)}
        return all(
            (kind == "drink") or (kind == "both" and likes[PETS[a]] == b) or (kind == "not" and found[a] != PETS[b])
            for kind, a, b in self.clues
        )
