"""Batches: exactly full where that is possible, first in first out, and never a deadlock."""

import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.service.storage.batching import Waiting, WaitingGroups, counts_that_sum, scaled


def waiting(sizes: Sequence[int], owners: Sequence[int | None] | None = None) -> WaitingGroups:
    groups = WaitingGroups()
    for index, size in enumerate(sizes):
        groups.add(Waiting(index + 1, owners[index] if owners else None, size))
    return groups


def drain(
    groups: WaitingGroups, batch_size: int, least: Mapping[int, int] = {}, short: bool = False
) -> list[list[int]]:
    batches = []
    while (batch := groups.take(batch_size, least, short=short)) is not None:
        batches.append([group.number for group in batch.groups])
    return batches


def test_equal_groups_come_out_in_the_order_they_came() -> None:
    assert drain(waiting([4] * 5), 8) == [[1, 2], [3, 4]]


def test_a_group_that_does_not_fit_heads_the_next_batch() -> None:
    assert drain(waiting([4, 8, 4, 8]), 8) == [[1, 3], [2], [4]]


def test_the_newest_are_exchanged_when_that_fills_the_batch() -> None:
    assert drain(waiting([5, 2, 3]), 8) == [[1, 3]]
    assert drain(waiting([3, 3, 1, 5]), 8) == [[1, 4]]


def test_groups_that_never_fill_a_batch_go_in_smaller_ones() -> None:
    groups = waiting([3] * 20)
    assert drain(groups, 8) == []
    assert drain(groups, 8, short=True) == [[n, n + 1] for n in range(1, 19, 2)]
    assert groups.groups == 2  # fewer sequences than a batch: they wait for others


def test_a_group_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    groups = waiting([2] * 7 + [16])
    assert drain(groups, 8) == [[1, 2, 3, 4]]
    assert drain(groups, 8, short=True) == [[5, 6, 7], [8]]
    assert groups.groups == 0


def test_each_minimum_is_met() -> None:
    groups = waiting([2] * 12, [0] * 8 + [1] * 4)
    assert drain(groups, 8, {1: 4}) == [[1, 2, 9, 10], [3, 4, 11, 12]]
    assert groups.take(8, {1: 4}) is None


def test_minimums_above_a_batch_shrink_together() -> None:
    assert scaled({0: 8, 1: 24}, 8) == {0: 2, 1: 6}
    assert drain(waiting([1] * 16, [0] * 8 + [1] * 8), 8, {0: 8, 1: 24}) == [[1, 2, 9, 10, 11, 12, 13, 14]]


def test_the_oldest_is_not_shut_out_by_minimums_that_fill_the_batch() -> None:
    groups = waiting([2] * 9, [0, *[1] * 8])
    assert drain(waiting([2] * 9, [0, *[1] * 8]), 8, {1: 8}) == [[2, 3, 4, 5], [6, 7, 8, 9]]
    batch = groups.take(8, {1: 6}, oldest_first=True)
    assert batch is not None
    assert [group.number for group in batch.groups] == [1, 2, 3, 4]


def test_what_comes_back_has_its_old_place() -> None:
    groups = waiting([4, 8, 4, 4])
    batch = groups.take(8, {})
    assert batch is not None
    groups.put_back(batch.groups)
    assert drain(groups, 8) == [[1, 3], [2]]


@given(
    sizes=st.lists(st.integers(1, 9), max_size=40),
    owners=st.lists(st.sampled_from([None, 0, 1]), min_size=40, max_size=40),
    batch_size=st.integers(1, 16),
    minimum=st.integers(0, 6),
)
def test_every_group_comes_out_once_and_every_exact_batch_is_full(
    sizes: list[int], owners: list[int | None], batch_size: int, minimum: int
) -> None:
    groups = waiting(sizes, owners[: len(sizes)])
    seen: list[int] = []
    while True:
        oldest = groups.oldest()
        batch = groups.take(batch_size, {0: minimum}) or groups.take(batch_size, {}, short=True)
        if batch is None:
            break
        total = sum(group.sequences for group in batch.groups)
        assert total == batch_size if batch.exact else total <= batch_size or len(batch.groups) == 1
        if not batch.exact:
            assert batch.groups[0].number == oldest
        seen += [group.number for group in batch.groups]
    assert len(set(seen)) == len(seen)
    assert groups.sequences < batch_size
    assert groups.groups == len(sizes) - len(seen)


@given(st.dictionaries(st.integers(1, 12), st.integers(0, 5), max_size=5), st.integers(0, 40))
def test_counts_agree_with_trying_all(available: dict[int, int], total: int) -> None:
    sums = {0}
    for size, count in available.items():
        sums = {known + size * k for known in sums for k in range(count + 1)}
    best = max(value for value in sums if value <= total)
    exact = counts_that_sum(available, total, exactly=True)
    assert (exact is None) == (total not in sums)
    for counts, wanted in ((exact, total), (counts_that_sum(available, total, exactly=False), best)):
        if counts is not None:
            assert sum(size * count for size, count in counts.items()) == wanted
            assert all(count <= available[size] for size, count in counts.items())


@pytest.mark.parametrize("sizes", [[8], [3, 5, 8, 2]])
def test_the_cost_of_a_batch_does_not_depend_on_the_queue(sizes: list[int]) -> None:
    def seconds(length: int) -> float:
        groups = waiting((sizes * length)[:length], [n % 5 for n in range(length)])
        best = float("inf")
        for _ in range(5):
            start = time.thread_time()
            batch = groups.take(64, {0: 8})
            best = min(best, time.thread_time() - start)
            assert batch is not None
        return best

    seconds(500)
    assert seconds(50_000) < 10 * seconds(500)
