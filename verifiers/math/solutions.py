r"""Solutions of equations: named values (``x=1,y=2``), named tuples (``(x,y)=(1,2)``), tuples, and several of them."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .collection import read_chain, read_collection, same_in_any_order, split

_BETWEEN = re.compile(r"⟨\s*,?\s*or\s*⟩|(?<![A-Za-z\\])or(?![a-z])|\\lor(?![A-Za-z])")
_AND = re.compile(r",?\s*(?:⟨\s*,?\s*and\s*⟩|(?<![A-Za-z\\])and(?![a-z]))\s*")
_INDEX = re.compile(r"\s*_\s*(?:\w|\{[^{}]*\})|\s+|'")
_MAX_SOLUTIONS = 64


@dataclass(frozen=True)
class Solution:
    """One solution.

    Attributes:
        values: the values, in the order of their names if they have some.
        names: the sorted names, empty for a bare tuple.
    """

    values: tuple[str, ...]
    names: tuple[str, ...] = ()


def read_solutions(text: str) -> list[Solution] | None:
    """Return ``text``, in plain notation, as solutions of several unknowns, or None if it is something else."""
    found: list[Solution] = []
    for part in (piece for alternative in _BETWEEN.split(text) for piece in split(alternative, ";")):
        solutions = _read_part(_AND.sub(",", part.strip(" ,")))
        if solutions is None:
            return None
        found += solutions
    return found if 0 < len(found) <= _MAX_SOLUTIONS else None


def read_values(text: str) -> Solution | None:
    r"""Return the values of one unknown: ``x=1 \text{ or } x=2``, ``x_1=1, x_2=2`` or ``x\in\{1,2\}``, or None."""
    chain = read_chain(text)
    if chain and chain.member:
        members = read_collection(chain.sides[-1])
        return Solution(members.items, (chain.name,)) if members and members.brackets == "{}" else None
    collection = read_collection(text)
    if collection is None or collection.brackets:
        return None
    named = [read_chain(item) for item in collection.items]
    known = [(item.name, item.sides[-1]) for item in named if item and item.name and not item.member]
    if len(known) < len(named) or len({_stem(name) for name, _ in known}) != 1:
        return None
    return _named([name for name, _ in known], [value for _, value in known])


async def same_values(expected: Solution, found: Solution, same: Callable[[str, str], Awaitable[bool]]) -> bool | None:
    """Return whether one unknown has the same values, by name if both number them alike; None if names differ."""
    if _stem(expected.names[0]) != _stem(found.names[0]):
        return None
    if len(set(expected.names)) > 1 and set(expected.names) == set(found.names):
        return await same_solutions([expected], [found], same)
    wanted, given = (list(dict.fromkeys(side.values)) for side in (expected, found))
    return await same_in_any_order(wanted, given, same)


async def same_solutions(
    expected: Sequence[Solution], found: Sequence[Solution], same: Callable[[str, str], Awaitable[bool]]
) -> bool:
    """Return whether both are the same solutions in any order; names count if both have them."""

    async def same_solution(gold: Solution, answer: Solution) -> bool:
        if len(gold.values) != len(answer.values) or (gold.names and answer.names and gold.names != answer.names):
            return False
        for wanted, given in zip(gold.values, answer.values, strict=True):
            if not await same(wanted, given):
                return False
        return True

    return await same_in_any_order(list(expected), list(dict.fromkeys(found)), same_solution)


def _read_part(text: str) -> list[Solution] | None:
    items = split(text, ",")
    if not all(items):
        return None
    tuples = [_read_tuple(item) for item in items]
    known = [one for one in tuples if one is not None]
    if known:
        return known if len(known) == len(tuples) else None
    chains = [read_chain(item) for item in items]
    named = [(chain.name.replace(" ", ""), chain.sides[-1]) for chain in chains if chain and not chain.member]
    names = [name for name, _ in named]
    if len(named) < len(items) or not all(names):
        return None
    count = names.index(names[0], 1) if names[0] in names[1:] else len(names)
    cycle = names[:count]
    if len({_stem(name) for name in cycle}) < max(2, count) or names != cycle * (len(names) // count):
        return None
    return [
        _named(cycle, [value for _, value in named[start : start + count]]) for start in range(0, len(names), count)
    ]


def _read_tuple(text: str) -> Solution | None:
    """Return ``(1,2)`` or ``(x,y)=(1,2)`` as a solution."""
    sides = split(text, "=")
    values = read_collection(sides[-1])
    if values is None or values.brackets != "()" or len(sides) > 2:
        return None
    if len(sides) == 1:
        return Solution(values.items)
    names = read_collection(sides[0])
    if names is None or names.brackets != "()" or len(names.items) != len(values.items):
        return None
    return _named(list(names.items), list(values.items))


def _named(names: list[str], values: list[str]) -> Solution:
    pairs = sorted(zip(names, values, strict=True))
    return Solution(tuple(value for _, value in pairs), tuple(name for name, _ in pairs))


def _stem(name: str) -> str:
    """Return a name without its index: ``x_1`` and ``x_2`` are values of x."""
    return _INDEX.sub("", name)
