"""Packing: every row once, no pack over its size, few packs, and no loss across a boundary."""

from hypothesis import given, settings
from hypothesis import strategies as some

from lachesis.rollout.training_rows.packing import pack, packed


@given(some.lists(some.integers(1, 60), max_size=60), some.integers(1, 80))
@settings(max_examples=100, deadline=None)
def test_each_row_is_in_one_pack_that_has_room(lengths: list[int], most: int) -> None:
    packs = pack(lengths, most)
    assert sorted(number for numbers in packs for number in numbers) == list(range(len(lengths)))
    sizes = [sum(lengths[number] for number in numbers) for numbers in packs]
    assert all(size <= most or len(numbers) == 1 for size, numbers in zip(sizes, packs, strict=True))
    fit = sum(length for length in lengths if length <= most)
    ideal = -(-fit // most) + sum(length > most for length in lengths)
    assert len(packs) <= 11 / 9 * ideal + 4 + len([1 for length in lengths if length > most])
    assert pack(lengths, most) == packs


def test_best_fit_decreasing_fills_the_fullest_pack() -> None:
    assert pack([5, 7, 3, 5], 10) == [[0, 3], [1, 2]]


def test_a_packed_row_keeps_tokens_and_labels_but_for_the_first_of_each() -> None:
    rows = [
        {"input_ids": [1, 2], "labels": [-100, 2], "metadata": {"task": "a"}},
        {"input_ids": [3, 4], "labels": [3, 4], "metadata": {"task": "b"}},
    ]
    assert packed(rows) == {
        "input_ids": [1, 2, 3, 4],
        "labels": [-100, 2, -100, 4],
        "seq_lengths": [2, 2],
        "metadata": [{"task": "a"}, {"task": "b"}],
    }
