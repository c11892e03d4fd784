"""Sums of two numbers, drawn from a seed; unordered pairs are held out."""

import random
from collections.abc import Iterator
from itertools import zip_longest
from operator import eq
from typing import Literal

from pydantic import Field, model_validator

from ...verifiers.case import Case
from ...verifiers.rubric import Rubric, reward, use
from ...verifiers.task import Task
from ..environment import Environment, EnvironmentConfig, Split

HELD_OUT = 500
"""Most problems in the test split; short numbers allow fewer."""


class Arithmetic(Environment):
    """Sums such as ``21+43=``; the zero-padded answer has one digit more than the numbers.

    An attempt is a success if the answer is exactly right.
    """

    class Config(EnvironmentConfig):
        """How long the numbers are, and how they are written."""

        digits: int = Field(2, ge=1, le=6)
        """Digits of each number, which is zero-padded."""
        least_digits: int = Field(0, ge=0, le=6)
        """If above 0, each sum has a random number of digits from this to ``digits``, which is its ``difficulty``."""
        order: Literal["least_first", "most_first"] = "least_first"
        """Which digit is written first. With the least significant digit first, carries are local and easy to learn."""

        @model_validator(mode="after")
        def _range(self) -> "Arithmetic.Config":
            if self.least_digits > self.digits:
                raise ValueError(f"least_digits {self.least_digits} is above digits {self.digits}; swap the two")
            return self

    rubric = Rubric(use("exact"), success="exact")

    @reward(weight=0.0)
    def digits(self, case: Case) -> float:
        """The share of digits that are right; a metric unless the config gives it a weight."""
        found, expected = case.completion.strip(), str(case.answer)
        return sum(map(eq, found, expected)) / len(expected) if len(found) == len(expected) else 0.0

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends."""
        held_out = {digits: self._held_out(digits) for digits in self._lengths}
        if split == "test":
            for pairs in zip_longest(*held_out.values()):
                for digits, pair in zip(self._lengths, pairs, strict=True):
                    if pair:
                        yield self._task(pair[0], pair[1], digits)
            return
        excluded = {digits: frozenset(pairs) for digits, pairs in held_out.items()}
        rng = random.Random(seed)
        while True:
            digits = rng.choice(self._lengths) if len(self._lengths) > 1 else self.config.digits
            a, b = rng.randint(0, 10**digits - 1), rng.randint(0, 10**digits - 1)
            if (min(a, b), max(a, b)) not in excluded[digits]:
                yield self._task(a, b, digits)

    @property
    def _lengths(self) -> range:
        return range(self.config.least_digits or self.config.digits, self.config.digits + 1)

    def _held_out(self, digits: int) -> list[tuple[int, int]]:
        """Unordered pairs that training never shows in either order; at most a fifth of all pairs."""
        numbers = 10**digits
        count = min(HELD_OUT, numbers * (numbers + 1) // 2 // 5)
        rng = random.Random(f"arithmetic {digits}")
        chosen: dict[tuple[int, int], None] = {}
        while len(chosen) < count:
            a, b = rng.randrange(numbers), rng.randrange(numbers)
            chosen[min(a, b), max(a, b)] = None
        return list(chosen)

    def _task(self, a: int, b: int, digits: int) -> Task:
        info = {"a": a, "b": b} | ({"difficulty": digits} if self.config.least_digits else {})
        return Task(
            f"{self._write(a, digits)}+{self._write(b, digits)}=",
            answer=self._write(a + b, digits + 1),
            info=info,
        )

    def _write(self, number: int, digits: int) -> str:
        text = f"{number:0{digits}d}"
        return text[::-1] if self.config.order == "least_first" else text
