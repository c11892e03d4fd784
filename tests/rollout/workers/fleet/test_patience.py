import pytest

from lachesis.rollout.workers.fleet.patience import Patience


def test_before_anything_was_measured_it_is_the_first_or_the_ceiling() -> None:
    assert Patience(5, 60, 10).seconds == 60
    assert Patience(5, 60, 10, first=7).seconds == 7


@pytest.mark.parametrize(("measured", "expected"), [([0.01], 5), ([2, 3, 100], 30), ([50, 60], 60)])
def test_it_is_a_multiple_of_the_median_within_floor_and_ceiling(measured: list[float], expected: float) -> None:
    patience = Patience(5, 60, 10)
    for seconds in measured:
        patience.note(seconds)
    assert patience.seconds == expected


def test_it_follows_a_run_that_becomes_slower_and_a_ceiling_below_the_floor_gives_way() -> None:
    patience = Patience(1, 0.5, 2)
    assert patience.seconds == 1
    patience = Patience(1, 100, 2)
    for seconds in [1.0] * 100 + [10.0] * 20:
        patience.note(seconds)
    assert patience.seconds == 20
