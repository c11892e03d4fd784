"""Tasks that a program draws at levels of difficulty: a finite test split, and an endless training split beside it."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from ...verifiers.task import Task
from ..environment import Split

Draw = Callable[[int, Random, bool], Task]
"""Draws a task of a level with a generator; the flag says whether it belongs to the held-out ones."""


def leveled_tasks(
    name: str, draw: Draw, levels: Sequence[int], *, split: Split, seed: int, test_tasks: int
) -> Iterator[Task]:
    """Yield tasks: the test split is finite and the same for every seed, the training split never ends.

    Args:
        name: seeds the test split.
        draw: draws one task. Held-out tasks and others must never be equal.
        levels: the levels to draw, each as often as it is listed.
        split: the split.
        seed: of the training split.
        test_tasks: held-out tasks of each level.
    """
    if split == "test":
        rng = Random(name)
        for number in range(test_tasks * len(levels)):
            yield draw(levels[number % len(levels)], rng, True)
        return
    rng = Random(seed)
    while True:
        yield draw(rng.choice(levels), rng, False)
