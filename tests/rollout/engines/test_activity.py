"""When an engine was busy: overlapping requests are one interval, and no idle time is lost but the shortest."""

import pytest

from lachesis.rollout.engines import activity as module
from lachesis.rollout.engines.activity import MOST, Activity, busy_share, rounded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    return now


def test_overlapping_requests_are_one_interval_and_a_running_one_is_cut(clock: list[float]) -> None:
    activity = Activity()
    with activity.request():
        clock[0] = 101.0
        with activity.request():
            clock[0] = 102.0
        clock[0] = 103.0
    clock[0] = 104.0
    with activity.request():
        clock[0] = 105.0
        assert rounded(activity.take()) == [(100.0, 103.0), (104.0, 105.0)]
        clock[0] = 106.0
    assert rounded(activity.take()) == [(105.0, 106.0)]
    assert rounded(activity.take()) == []


def test_short_gaps_and_endless_lists_are_joined(clock: list[float]) -> None:
    activity = Activity()
    for _ in range(3):
        with activity.request():
            clock[0] += 1.0
        clock[0] += 0.001
    assert rounded(activity.take()) == [(100.0, 103.002)]
    for _ in range(MOST + 10):
        with activity.request():
            clock[0] += 1.0
        clock[0] += 1.0
    found = activity.take()
    assert len(found) == MOST
    assert found[-1][1] == clock[0] - 1.0


def test_a_request_that_fails_counts_until_it_failed(clock: list[float]) -> None:
    activity = Activity()

    def fail() -> None:
        with activity.request():
            clock[0] = 107.0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert rounded(activity.take()) == [(100.0, 107.0)]


@pytest.mark.parametrize(
    ("busy", "windows", "share"),
    [
        ([(0.0, 10.0)], [(2.0, 4.0)], 1.0),
        ([(0.0, 1.0), (3.0, 9.0)], [(0.0, 4.0)], 0.5),
        ([], [(0.0, 4.0)], 0.0),
        ([(0.0, 1.0)], [], 0.0),
        ([(5.0, 6.0)], [(0.0, 4.0)], 0.0),
    ],
)
def test_the_share_of_windows_that_is_busy(
    busy: list[tuple[float, float]], windows: list[tuple[float, float]], share: float
) -> None:
    assert busy_share(busy, windows) == share
