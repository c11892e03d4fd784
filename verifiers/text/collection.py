"""Verifiers for answers that are a set or a list."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .items import expected_items, read_items
from .think import split_reasoning

CREDITS = ("all", "f1", "jaccard")
MAX_COMPARED = 2_000
"""Items of an ordered list that are compared for partial credit."""


@verifier("set")
@dataclass(frozen=True)
class SetAnswer:
    """The items of the answer are those of ``task.answer``, in any order; duplicates count once.

    Items may be written as a JSON array, as bulleted, numbered or plain lines, or separated by semicolons or commas
    (and "and"). Numbers are compared by value, everything else as normalised text (see ``exact``).

    Attributes:
        credit: ``all`` scores 1 or 0; ``f1`` and ``jaccard`` score a partly right set, with status ``wrong``.
        separator: text between items, if known.

    Example:
        {"verifier": "set", "completion": "Blue, green and red.", "answer": ["red", "green", "blue"]} -> 1.0
        {"verifier": "set", "completion": "[1, 2, 4]", "answer": [1, 2, 3, 4], "params": {"credit": "jaccard"}} -> 0.75
    """

    credit: str = "all"
    separator: str = ""
    instances: ClassVar[tuple[str, ...]] = CREDITS
    row_params: ClassVar[frozenset[str]] = frozenset({"credit", "separator"})

    def __post_init__(self) -> None:
        _check_params("set", self.credit, self.separator)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with partial credit, or ``unparseable`` for an empty answer."""
        return _score_items(case, self.credit, self.separator, ordered=False, distinct=True)


@verifier("list")
@dataclass(frozen=True)
class ListAnswer:
    """The items of the answer are those of ``task.answer``, in the same number and order.

    Items are read and compared as in ``set``.

    Attributes:
        ordered: whether the order counts; partial credit is then based on the longest common subsequence.
        credit: ``all`` scores 1 or 0; ``f1`` and ``jaccard`` score a partly right list, with status ``wrong``.
        separator: text between items, if known.

    Example:
        {"verifier": "list", "completion": "1. Mercury\\n2. Venus\\n3. Earth", "answer": ["Mercury", "Venus", "Earth"]}
        -> 1.0
        {"verifier": "list", "completion": "b, a", "answer": ["a", "b"], "params": {"credit": "f1"}} -> 0.5
    """

    ordered: bool = True
    credit: str = "all"
    separator: str = ""
    instances: ClassVar[tuple[str, ...]] = tuple(
        f"{order}, {credit}" for order in ("ordered", "unordered") for credit in CREDITS
    )
    row_params: ClassVar[frozenset[str]] = frozenset({"ordered", "credit", "separator"})

    def __post_init__(self) -> None:
        _check_params("list", self.credit, self.separator)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with partial credit, or ``unparseable`` for an empty answer."""
        return _score_items(case, self.credit, self.separator, ordered=self.ordered, distinct=False)


def _check_params(name: str, credit: str, separator: str) -> None:
    if credit not in CREDITS:
        raise ConfigError(f"verifier {name!r}: unknown credit {credit!r}; {nearest(str(credit), CREDITS)}")
    if not isinstance(separator, str):
        raise ConfigError(f"verifier {name!r}: separator must be text, found {separator!r}")


def _score_items(case: Case, credit: str, separator: str, *, ordered: bool, distinct: bool) -> Verdict:
    expected = expected_items(case.answer, separator)
    if expected is None:
        return infra_error("the task has no answer to compare with; repair the dataset, or use [] for no items")
    _, text = split_reasoning(case.visible)
    found = read_items(text, separator, frozenset(expected))
    if found is None:
        return unparseable("the answer is empty")
    if distinct:
        expected, found = list(dict.fromkeys(expected)), list(dict.fromkeys(found))
    shared = _common_subsequence_length(expected, found) if ordered else (Counter(expected) & Counter(found)).total()
    counts: dict[str, Any] = {"expected": len(expected), "found": len(found), "shared": shared}
    if shared == len(expected) == len(found):
        return passed("all items", **counts)
    score = {
        "all": 0.0,
        "f1": 2 * shared / (len(expected) + len(found)),
        "jaccard": shared / (len(expected) + len(found) - shared),
    }[credit]
    return wrong(f"{shared} of {len(expected)} items, with {len(found)} given", score, **counts)


def _common_subsequence_length(expected: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, over the first ``MAX_COMPARED`` items if the lists differ.

    Bit-parallel algorithm (Hyyrö 2004): each row of the table is one integer whose 0 bits mark where the length grows.
    """
    if list(expected) == list(found):
        return len(expected)
    places: dict[Hashable, int] = {}
    for index, item in enumerate(expected[:MAX_COMPARED]):
        places[item] = places.get(item, 0) | 1 << index
    every = (1 << min(len(expected), MAX_COMPARED)) - 1
    row = every
    for item in found[:MAX_COMPARED]:
        same = row & places.get(item, 0)
        row = (row + same | row - same) & every
    return (every & ~row).bit_count()
