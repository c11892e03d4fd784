"""Rows of tokens put together into longer rows, so that a trainer pads less."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from .rows import UNTRAINED


def pack(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of the rows that go together, by best fit decreasing: at most ``most`` tokens unless one row is longer.

    The longest row is placed first, each into the fullest pack that has room for it. Packs, and rows within a pack, are
    in the order of their first row's number.
    """
    packs: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens left, number of the pack), sorted
    for row in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        place = bisect_left(rooms, (lengths[row], -1))
        if place == len(rooms):
            packs.append([row])
            insort(rooms, (most - lengths[row], len(packs) - 1))
            continue
        room, number = rooms.pop(place)
        packs[number].append(row)
        insort(rooms, (room - lengths[row], number))
    return sorted(sorted(rows) for rows in packs)


def packed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of several: ``seq_lengths`` has the length of each, as TRL's packing, and ``metadata`` is a list.

    The first token of each row is not trained, because it would be predicted from the row before it.
    """
    labels = [label for row in rows for label in row["labels"]]
    lengths = [len(row["input_ids"]) for row in rows]
    for start in accumulate(lengths[:-1], initial=0):
        labels[start] = UNTRAINED
    return {
        "input_ids": [token for row in rows for token in row["input_ids"]],
        "labels": labels,
        "seq_lengths": lengths,
        "metadata": [row["metadata"] for row in rows],
    }
