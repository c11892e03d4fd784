"""Procedure: a random sequence of small changes to a word."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

VOWELS = "aeiou"
_WORDS = (
    "anchor basket candle dragon engine falcon garden hammer island jacket kettle ladder magnet needle orange pencil "
    "quiver rabbit saddle tunnel urchin velvet window yellow zipper bridge castle desert forest guitar hornet insect "
    "jungle kitten lizard marble napkin oyster pepper ribbon silver thread umpire violin walnut barrel copper donkey "
    "escape flower goblet helmet iguana jigsaw laptop meadow nugget office pillow rocket shovel temple utopia voyage"
)
WORDS = tuple(_WORDS.split())


class Change(NamedTuple):
    """A change to a word: how a skill says it, and what it does."""

    words: str
    apply: Callable[[str], str]


def _shifted(word: str, by: int) -> str:
    return "".join(chr((ord(letter) - 97 + by) % 26 + 97) for letter in word)


def _turned(word: str, by: int) -> str:
    return word[by:] + word[:by]


CHANGES: dict[str, Change] = {
    "reverse": Change("Write the letters backwards", lambda word: word[::-1]),
    "drop_vowels": Change("Remove all vowels", lambda word: "".join(x for x in word if x not in VOWELS)),
    "double_vowels": Change("Write each vowel twice", lambda word: "".join(x * (1 + (x in VOWELS)) for x in word)),
    "swap_ends": Change("Swap the first letter and the last", lambda word: word[-1:] + word[1:-1] + word[:1]),
    "sort": Change("Put the letters in the order of the alphabet", lambda word: "".join(sorted(word))),
    "every_second": Change("Keep only the 1st, 3rd, 5th letter and so on", lambda word: word[::2]),
    "first_again": Change("Add the first letter again at the end", lambda word: word + word[:1]),
    "halves": Change(
        "Put the second half before the first; a middle letter belongs to the second",
        lambda word: word[len(word) // 2 :] + word[: len(word) // 2],
    ),
    **{f"turn_{n}": Change(f"Move the first {n} letters to the end", partial(_turned, by=n)) for n in (1, 2, 3)},
    **{
        f"shift_{n}": Change(
            f"Replace each letter by the one {n} places later in the alphabet; a follows z", partial(_shifted, by=n)
        )
        for n in (1, 2, 3, 5)
    },
}


def draw_procedure(rng: Random, steps: int) -> list[str]:
    """So many different changes, by name."""
    return rng.sample(sorted(CHANGES), steps)


def trace(procedure: list[str], word: str) -> list[str]:
    """The word and what it becomes after each change."""
    found = [word]
    for name in procedure:
        found.append(CHANGES[name].apply(found[-1]))
    return found
