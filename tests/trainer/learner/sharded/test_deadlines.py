"""Deadlines of calls to ranks follow what was measured, and a call that never returns holds nobody up."""

import threading
import time
from collections.abc import Callable

import pytest

from lachesis.trainer.learner.sharded import deadlines
from lachesis.trainer.learner.sharded.deadlines import FIRST, Deadlines
from lachesis.verifiers.errors import DeadlineExceeded

Taking = Callable[[float], None]


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Taking:
    """Lets seconds pass on the clock."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passing(seconds: float) -> None:
        now[0] += seconds

    return passing


def test_a_deadline_is_ten_times_the_longest_call_of_the_same_method_and_never_below_the_floor(
    taking: Taking,
) -> None:
    measured = Deadlines()
    assert measured.of("step") == FIRST
    measured.within("step", lambda: taking(2.0))
    assert measured.of("step") == 60.0
    measured.within("step", lambda: taking(30.0))
    measured.within("step", lambda: taking(1.0))
    assert measured.of("step") == 300.0
    assert measured.of("save") == FIRST


def test_a_call_with_more_to_compute_has_more_time_and_one_without_says_nothing(taking: Taking) -> None:
    measured = Deadlines()
    measured.within("gradient", lambda: taking(0.1), work=0)  # a part of a step in which no sample has an advantage
    assert measured.of("gradient", work=100) == FIRST
    measured.within("gradient", lambda: taking(5.0), work=100)
    measured.within("gradient", lambda: taking(0.1), work=0)
    assert [measured.of("gradient", work) for work in (0, 100, 1000, 1_000_000)] == [60.0, 60.0, 500.0, FIRST]
    measured.within("gradient", lambda: taking(400.0), work=10_000)
    assert [measured.of("gradient", work) for work in (0, 20_000)] == [4000.0, 4000.0]


def test_a_call_that_does_not_return_ends_at_its_deadline_and_an_error_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "FIRST", 0.1)
    monkeypatch.setattr(deadlines, "FLOOR", 0.05)
    measured, never = Deadlines(), threading.Event()
    with pytest.raises(DeadlineExceeded, match=r"step took more than 0\.1 s$"):
        measured.within("step", never.wait)
    monkeypatch.setattr(deadlines, "FIRST", 60.0)
    assert measured.within("save", lambda: None) is None
    with pytest.raises(DeadlineExceeded, match=r"save took more than [\d.]+ s \(the longest took [\d.]+ s so far\)$"):
        measured.within("save", never.wait)
    with pytest.raises(ZeroDivisionError):
        measured.within("load", lambda: 1 // 0)
    never.set()
