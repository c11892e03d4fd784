"""Shares of a step, from spans of the event log and the intervals of engines."""

import pytest

from lachesis.rollout.engines import activity as clock_of
from lachesis.rollout.engines.activity import Activity, Interval
from lachesis.rollout.event_log import EventLog
from lachesis.trainer.run.timesheet import Timesheet


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(clock_of.time, "time", lambda: now[0])
    return now


def test_each_part_has_its_share_of_the_step(clock: list[float]) -> None:
    events = EventLog()
    sheet = Timesheet(events, workers=2)
    with events.span("worker", worker=0, groups=[0, 3]):
        clock[0] = 104.0
    with events.span("trainer", phase="update"), events.span("worker", worker=1, groups=[4, 5]):
        clock[0] = 109.0
        with events.span("worker", worker=1, groups=[6, 6]):
            clock[0] = 109.5
    with events.span("trainer", phase="weight_sync"), events.span("trainer", phase="evaluation"):
        clock[0] = 110.0
    engines = [[Interval(99.0, 104.0, tokens=200, work=30.0)], [Interval(100.0, 102.0, tokens=50, work=10.0)], []]
    found = sheet.metrics((100.0, 110.0), [(100.0, 103.0), (105.0, 106.0)], engines)
    assert found == {
        "rate/trainer_waiting": pytest.approx(0.4),
        "rate/updating": pytest.approx(0.55),
        "rate/publishing": pytest.approx(0.05),
        "rate/workers_idle": pytest.approx(1 - (4.0 + 5.5) / 20),
        "rate/engines_idle": pytest.approx(1 - (0.4 + 0.2 + 0.0) / 3),
        "rate/engines_busy": pytest.approx((0.75 + 0.5 + 0.0) / 3),
        "rate/engine_requests": pytest.approx(40 / 10 / 3),
        "rate/engine_tokens_per_s_least": 0.0,
        "rate/engine_tokens_per_s_most": pytest.approx(20.0),
        "rate/engine_tokens_per_s/0": pytest.approx(20.0),
        "rate/engine_tokens_per_s/1": pytest.approx(5.0),
        "rate/engine_tokens_per_s/2": 0.0,
    }


def test_a_group_that_is_played_over_several_steps_counts_in_each(clock: list[float]) -> None:
    events = EventLog()
    sheet = Timesheet(events, workers=1)
    with events.span("worker", worker=0, groups=[0, 0]):
        for end in (101.0, 102.0):
            clock[0] = end
            assert sheet.metrics((end - 1, end), [(end - 1, end)], [])["rate/workers_idle"] == pytest.approx(0.0)
    clock[0] = 103.0
    assert sheet.metrics((102.0, 103.0), [(102.0, 103.0)], [])["rate/workers_idle"] == pytest.approx(1.0)


def test_a_step_of_no_length_and_a_span_that_fails_do_no_harm(clock: list[float]) -> None:
    events = EventLog()
    sheet = Timesheet(events, workers=1)
    with pytest.raises(ValueError, match="no"), events.span("worker", worker=0):
        raise ValueError("no")
    found = sheet.metrics((100.0, 100.0), [(100.0, 100.0)], [[]])
    assert found["rate/trainer_waiting"] == found["rate/engine_tokens_per_s_most"] == 0.0


def test_tokens_and_requests_are_counted_once(clock: list[float]) -> None:
    activity = Activity()
    with activity.request():
        clock[0] = 101.0
        with activity.request():
            clock[0] = 103.0
            activity.sampled(7)
        assert activity.take() == [Interval(100.0, 103.0, tokens=7, work=5.0)]
        clock[0] = 104.0
        activity.sampled(2)
    assert activity.take() == [Interval(103.0, 104.0, tokens=2, work=1.0)]
    assert activity.take() == []
