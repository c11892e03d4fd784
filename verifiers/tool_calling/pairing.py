"""A largest pairing of two sides, so that what is found does not hang on the order in which it is looked for."""

from collections.abc import Sequence


def largest_pairing(wanted: Sequence[Sequence[int]]) -> list[int | None]:
    """For each left node the right node that it is paired with, or None; as many pairs as there can be.

    Kuhn's algorithm: one search for an augmenting path for each left node, O(nodes · edges).

    Args:
        wanted: for each left node, the right nodes that would do.
    """
    owner: dict[int, int] = {}
    for start in range(len(wanted)):
        _augment(start, wanted, owner)
    pairs: list[int | None] = [None] * len(wanted)
    for right, left in owner.items():
        pairs[left] = right
    return pairs


def _augment(start: int, wanted: Sequence[Sequence[int]], owner: dict[int, int]) -> None:
    """Pair ``start``, moving others along a path if that frees a right node; without recursion."""
    came_from: dict[int, int] = {}
    waiting = [start]
    while waiting:
        left = waiting.pop()
        for right in wanted[left]:
            if right in came_from:
                continue
            came_from[right] = left
            if right not in owner:
                _shift(right, start, came_from, owner)
                return
            waiting.append(owner[right])


def _shift(right: int, start: int, came_from: dict[int, int], owner: dict[int, int]) -> None:
    previous = {left: taken for taken, left in owner.items()}
    while True:
        left = came_from[right]
        owner[right] = left
        if left == start:
            return
        right = previous[left]
