import pytest

from lachesis.trainer.run.parts import part_sizes


@pytest.mark.parametrize(
    ("groups", "parts", "sizes"),
    [(16, 1, [16]), (16, 4, [4] * 4), (16, 3, [6, 5, 5]), (3, 5, [1, 1, 1]), (1, 1, [1]), (0, 2, [0])],
)
def test_parts_differ_by_one_group_at_most_and_none_is_empty_if_there_are_groups(
    groups: int, parts: int, sizes: list[int]
) -> None:
    assert part_sizes(groups, parts) == sizes
