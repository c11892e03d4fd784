"""Result of a query, and the comparison of two of them."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

MAX_ORDERS = 1000
"""Most orders of columns that are tried."""

Row = Sequence[Any]


class Table(NamedTuple):
    """The result of a query.

    Attributes:
        columns: the names of its columns.
        rows: its rows of numbers, texts, nulls, and ``{"blob": hexadecimal}``.
    """

    columns: Sequence[str]
    rows: Sequence[Row]


def difference(found: Table, expected: Sequence[Table], ordered: bool, columns: str, tolerance: float) -> str:
    """Return why ``found`` is none of ``expected``; empty if it is one of them.

    Args:
        found: the result to judge.
        expected: the right result, and the same with the rows whose order its query leaves open the other way round.
        ordered: whether the order of the rows matters. Rows that the query leaves open may have any order.
        columns: ``position``, ``any`` (in any order) or ``named`` (by name, in any order).
        tolerance: allowed relative difference of numbers that are not both integers.
    """
    first = expected[0]
    if first.columns and len(found.columns) != len(first.columns):  # expected rows without a row have no columns
        return f"{len(first.columns)} columns are expected, found {len(found.columns)}"
    if len(found.rows) != len(first.rows):
        return f"{len(first.rows)} rows are expected, found {len(found.rows)}"
    for order in islice(_orders(found, first, columns, tolerance), MAX_ORDERS):
        rows = [[row[place] for place in order] for row in found.rows]
        for blocks in _open_rows(expected) if ordered else [[each.rows] for each in expected]:
            if _in_blocks(rows, blocks, tolerance):
                return ""
    names = [sorted(name.lower() for name in each.columns) for each in (found, first)]
    if columns == "named" and names[0] != names[1]:
        return f"the columns {list(first.columns)!r:.100} are expected, found {list(found.columns)!r:.100}"
    if ordered and any(_same_rows(found.rows, each.rows, tolerance) for each in expected):
        return "the rows are in another order"
    return "it has other rows"


def _orders(found: Table, expected: Table, columns: str, tolerance: float) -> Iterator[list[int]]:
    """The places of the found columns in the expected order, for each assignment that may be right."""
    count = len(expected.columns)
    if columns == "position":
        yield list(range(count))
        return
    if columns == "named":
        options = [
            [place for place, name in enumerate(found.columns) if name.lower() == wanted.lower()]
            for wanted in expected.columns
        ]
    else:
        options = [
            [
                place
                for place in range(count)
                if _same_rows([[row[place]] for row in found.rows], [[row[wanted]] for row in expected.rows], tolerance)
            ]
            for wanted in range(count)
        ]
    yield from _assigned(options, [])


def _assigned(options: Sequence[Sequence[int]], taken: list[int]) -> Iterator[list[int]]:
    if len(taken) == len(options):
        yield taken
        return
    for place in options[len(taken)]:
        if place not in taken:
            yield from _assigned(options, [*taken, place])


def _open_rows(expected: Sequence[Table]) -> list[list[Sequence[Row]]]:
    """The expected rows in blocks, inside of which the order is open, for each of the possible results.

    A query that sorts by a column with equal values leaves the order of these rows open. They are found by the second
    result, which has them the other way round.
    """
    first, last = expected[0].rows, expected[-1].rows
    if not _same_rows(first, last, 0.0):  # it leaves open which rows there are, as with LIMIT
        return [[[row] for row in each.rows] for each in expected]
    ends, balance = [0], dict[Any, int]()
    for place, (row, other) in enumerate(zip(first, last, strict=True), start=1):
        for key, change in ((_row_key(row), 1), (_row_key(other), -1)):
            balance[key] = balance.get(key, 0) + change
            if not balance[key]:
                del balance[key]
        if not balance:
            ends.append(place)
    return [[first[start:end] for start, end in pairwise(ends)]]


def _in_blocks(rows: Sequence[Row], blocks: Sequence[Sequence[Row]], tolerance: float) -> bool:
    place = 0
    for block in blocks:
        if not _same_rows(rows[place : place + len(block)], block, tolerance):
            return False
        place += len(block)
    return place == len(rows)


def _same_rows(rows: Sequence[Row], others: Sequence[Row], tolerance: float) -> bool:
    """Whether both have the same rows, each as often, in any order."""
    pairs = zip(sorted(rows, key=_row_key), sorted(others, key=_row_key), strict=False)
    return len(rows) == len(others) and all(
        _same(cell, other, tolerance) for row, its in pairs for cell, other in zip(row, its, strict=True)
    )


def _row_key(row: Row) -> tuple[tuple[int, Any], ...]:
    return tuple(map(_key, row))


def _key(cell: Any) -> tuple[int, Any]:
    if cell is None:
        return 0, 0
    if isinstance(cell, int | float):
        return 1, cell
    return (2, cell) if isinstance(cell, str) else (3, cell["blob"])


def _same(cell: Any, other: Any, tolerance: float) -> bool:
    numbers = isinstance(cell, int | float) and isinstance(other, int | float)
    if numbers and not (isinstance(cell, int) and isinstance(other, int)):
        return math.isclose(cell, other, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
    return _key(cell) == _key(other)
