"""The seed documents: a few sentences about who has how many of what, drawn by a program."""

import re
from random import Random
from typing import NamedTuple

_NAMES = "Amy Ann Ben Eli Eva Gus Ida Ivy Jan Kim Leo Max Mia Ned Pia Ray Sam Tom Uma Zoe"
_THINGS = "apples books cats chairs coins cups dogs hats keys lamps pens ships spoons stones"
NAMES = tuple(_NAMES.split())
THINGS = tuple(_THINGS.split())
MOST = 9
"""The largest number in a document."""
_SENTENCE = re.compile(r"(\w+) has (\d+) (\w+)\.")


class Fact(NamedTuple):
    """One sentence of a document: its subject has a number of things."""

    name: str
    number: int
    thing: str

    @property
    def text(self) -> str:
        """The sentence."""
        return f"{self.name} has {self.number} {self.thing}."


def draw_document(rng: Random, sentences: int) -> str:
    """A document with so many sentences, each about another person."""
    names = rng.sample(NAMES, sentences)
    return " ".join(Fact(name, rng.randint(1, MOST), rng.choice(THINGS)).text for name in names)


def read_facts(document: str) -> list[Fact]:
    """The facts that a document states."""
    return [Fact(name, int(number), thing) for name, number, thing in _SENTENCE.findall(document)]
