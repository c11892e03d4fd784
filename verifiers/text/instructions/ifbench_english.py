"""The kinds of instruction of IFBench (arXiv 2507.02833) that need dictionaries of English words, from packages."""

from collections.abc import Callable
from itertools import pairwise

from .constraint import constraint
from .ifbench import spoken

MAX_WORD = 60
"""Most letters of a word whose syllables are counted."""


@constraint("words:start_verb", package="lemminflect")
def _start_verb(text: str) -> bool:
    """The first word must be a form of a verb. Words such as ``water`` are verbs too; a dictionary decides."""
    from lemminflect import getAllLemmas

    first = spoken(text)[:1]
    return bool(first) and bool(getAllLemmas(first[0], upos="VERB"))


@constraint("words:odd_even_syllables", package="syllapy")
def _odd_even_syllables(text: str) -> bool:
    """Words with an odd and an even number of syllables must take turns; a word that cannot be counted breaks it."""
    import syllapy

    counts = [_syllables(word, syllapy.count) for word in spoken(text)]
    return len(counts) > 1 and all(counts) and all((one + other) % 2 for one, other in pairwise(counts))


def _syllables(word: str, count: Callable[[str], int]) -> int:
    """Return the syllables of a word with or without hyphens; 0 if they cannot be counted."""
    parts = [count(part) if len(part) <= MAX_WORD else 0 for part in word.split("-")]
    return sum(parts) if all(parts) else 0
