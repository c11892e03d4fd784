"""Maximum bipartite matching, so that results do not depend on the order of calls and answers."""

from collections.abc import Sequence


def maximum_matching(wanted: Sequence[Sequence[int]]) -> list[int | None]:
    """Return for each left node the right node that it is paired with, or None, with as many pairs as possible.

    Kuhn's algorithm: one search for an augmenting path per left node, O(nodes · edges).

    Args:
        wanted: for each left node, the right nodes that it can be paired with.
    """
    owner: dict[int, int] = {}
    for start in range(len(wanted)):
        _augment(start, wanted, owner)
    pairs: list[int | None] = [None] * len(wanted)
    for right, left in owner.items():
        pairs[left] = right
    return pairs


def _augment(start: int, wanted: Sequence[Sequence[int]], owner: dict[int, int]) -> None:
    """Pair ``start``, re-pairing others along an augmenting path if needed; without recursion."""
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
