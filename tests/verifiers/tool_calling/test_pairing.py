"""The pairing of two sides is as large as there is, in whatever order they stand."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.tool_calling.pairing import maximum_matching

EDGES = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), unique=True), min_size=n, max_size=n)
)


def largest_by_trying(wanted: list[list[int]]) -> int:
    rights = range(len(wanted))
    return max(sum(right in row for row, right in zip(wanted, order, strict=True)) for order in permutations(rights))


@given(EDGES)
def test_no_pairing_is_larger_and_each_pair_is_wanted_once(wanted: list[list[int]]) -> None:
    pairs = maximum_matching(wanted)
    taken = [right for right in pairs if right is not None]
    assert len(taken) == len(set(taken)) == largest_by_trying(wanted)
    assert all(right in row for row, right in zip(wanted, pairs, strict=True) if right is not None)


def test_a_first_choice_gives_way() -> None:
    assert maximum_matching([[0, 1], [0]]) == [1, 0]
    assert maximum_matching([[0, 1], [0, 2], [0]]) == [1, 2, 0]
    assert maximum_matching([]) == []


def test_a_long_chain_of_moves_needs_no_recursion() -> None:
    wanted = [[i, i + 1] for i in range(2000)] + [[0]]
    assert None not in maximum_matching(wanted)
