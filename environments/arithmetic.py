"""Sums to do in the head: procedural, seeded, with a held-out split by unordered pair."""

import random
from collections.abc import Iterator
from operator import eq
from typing import Literal

from pydantic import Field

from ..verifiers.case import Case
from ..verifiers.rubric import Rubric, reward, use
from ..verifiers.task import Task
from .environment import Environment, EnvironmentConfig, Split

HELD_OUT = 500
"""Problems in the test split, where the numbers allow as many."""


class Arithmetic(Environment):
    """``21+43=`` with two numbers of ``digits`` digits; the answer has one digit more, zero-padded."""

    class Config(EnvironmentConfig):
        """How hard, and how numbers are written."""

        digits: int = Field(2, ge=1, le=6)
        """Digits of each number, zero-padded."""
        order: Literal["least_first", "most_first"] = "least_first"
        """Which digit is written first; with the least significant first a carry is local, and so easy to learn."""

    rubric = Rubric(use("exact"))

    @reward(weight=0.0)
    def digits(self, case: Case) -> float:
        """Share of the digits that are right; a metric unless the config gives it a weight."""
        found, expected = case.completion.strip(), str(case.answer)
        return sum(map(eq, found, expected)) / len(expected) if len(found) == len(expected) else 0.0

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends."""
        held_out = self._held_out()
        if split == "test":
            for pair in held_out:
                yield self._task(*pair)
            return
        excluded = frozenset(held_out)
        rng = random.Random(seed)
        largest = 10**self.config.digits - 1
        while True:
            a, b = rng.randint(0, largest), rng.randint(0, largest)
            if (min(a, b), max(a, b)) not in excluded:
                yield self._task(a, b)

    def _held_out(self) -> list[tuple[int, int]]:
        """Unordered pairs that training never shows in either order: at most a fifth of all."""
        numbers = 10**self.config.digits
        count = min(HELD_OUT, numbers * (numbers + 1) // 2 // 5)
        rng = random.Random(f"arithmetic {self.config.digits}")
        chosen: dict[tuple[int, int], None] = {}
        while len(chosen) < count:
            a, b = rng.randrange(numbers), rng.randrange(numbers)
            chosen[min(a, b), max(a, b)] = None
        return list(chosen)

    def _task(self, a: int, b: int) -> Task:
        digits = self.config.digits
        return Task(
            f"{self._write(a, digits)}+{self._write(b, digits)}=",
            answer=self._write(a + b, digits + 1),
            info={"a": a, "b": b},
        )

    def _write(self, number: int, digits: int) -> str:
        text = f"{number:0{digits}d}"
        return text[::-1] if self.config.order == "least_first" else text
