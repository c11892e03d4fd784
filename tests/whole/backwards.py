"""Words of three letters to be written backwards: learned within seconds, which sums of two digits are not."""

import random
from collections.abc import Iterator
from itertools import product

from lachesis import Environment, Rubric, Task, use


class Backwards(Environment):
    """``abc>`` becomes ``cba``; a fifth of all words is held out."""

    rubric = Rubric(use("exact"))

    def tasks(self, split: str, seed: int) -> Iterator[Task]:
        """The test split is finite; the training split never ends."""
        words = ["".join(letters) for letters in product("abcdefgh", repeat=3)]
        words = [word for word in words if (sum(map(ord, word)) % 5 == 0) == (split == "test")]
        rng = random.Random(seed)
        for word in words if split == "test" else iter(lambda: rng.choice(words), None):
            yield Task(f"{word}>", answer=word[::-1])
