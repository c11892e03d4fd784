"""A puzzle: one instance of a family, with its question, its solver and its check."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from .answers import Kind

LEVELS = 8
"""How many levels of difficulty each family has."""

PLAN = "plan"
"""The field of a puzzle that holds a solution from which it was made; it is never shown."""


class Puzzle:
    """One puzzle. A subclass is a family: a frozen dataclass whose fields, all JSON, are what the puzzle is made of.

    Attributes:
        sizes: the size that ``make`` is given at each level of difficulty, in rising order.
        answer: how an answer is read and written.
        form: what an answer looks like, if the words of ``answer`` are not exact enough.
        wordings: ways to ask; the names in braces are those that ``shown`` gives.
    """

    sizes: ClassVar[Sequence[int]]
    answer: ClassVar[Kind]
    form: ClassVar[str] = ""
    wordings: ClassVar[Sequence[str]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        """A random puzzle of this size."""
        raise NotImplementedError

    @classmethod
    def draw(cls, rng: Random, size: int) -> Self:
        """A random puzzle of this size, of which nothing that is shown is a right answer as it stands."""
        while True:
            puzzle = cls.make(rng, size)
            read = map(cls.answer.read, puzzle.shown().values())
            if not any(found is not None and puzzle.accepts(found) for found in read):
                return puzzle

    def solve(self) -> Any:
        """A right answer, as ``answer.read`` would return it."""
        raise NotImplementedError

    def accepts(self, found: Any) -> bool:
        """Whether an answer that ``answer.read`` returned is right. A family with several right answers overrides "
        "it."""
        return bool(found == self.solve())

    def shown(self) -> dict[str, str]:
        """The fields as text, for the wordings."""
        return {name: text_of(value) for name, value in self.data().items() if name != PLAN}

    def data(self) -> dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def question(self, wording: int) -> str:
        """The question in one of the wordings, with the form of the answer but not the place to put it."""
        asked = self.wordings[wording % len(self.wordings)].format(**self.shown())
        return f"{asked}\n\nThe answer is {self.form or self.answer.words}."


Family = type[Puzzle]
_Drawn = TypeVar("_Drawn")
_AnyFamily = TypeVar("_AnyFamily", bound=Family)

FAMILIES: dict[str, Family] = {}
"""Every family by its name, in the order in which the files define them."""


@dataclass_transform(frozen_default=True)
def family(cls: _AnyFamily) -> _AnyFamily:
    """Class decorator that makes a frozen dataclass of a family and registers it; ``FarPoint`` is ``far_point``."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    FAMILIES[name] = dataclass(frozen=True)(cls)
    return cls


def text_of(value: Any) -> str:
    """A field as the wordings show it: lists with commas, and lists of lists as lines."""
    if not isinstance(value, list):
        return str(value)
    if value and all(isinstance(row, list) for row in value):
        return "\n".join(" ".join(map(str, row)) for row in value)
    return ", ".join(map(str, value))


def until(draw: Callable[[], _Drawn], fits: Callable[[_Drawn], bool]) -> _Drawn:
    """The first drawn value that fits."""
    while not fits(drawn := draw()):
        pass
    return drawn
