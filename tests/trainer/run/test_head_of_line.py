import itertools
import random
from collections.abc import Sequence

import pytest

from lachesis.rollout.dispatcher import Batch
from lachesis.trainer.run.alerts import LAST, Alerts
from lachesis.trainer.run.head_of_line import HIGHEST, HeadOfLine, simulate, sufficient_staleness

RANDOM = random.Random(0)
LONG_TAIL = [min(8.0, RANDOM.paretovariate(1.5)) for _ in range(160)]


def test_equal_durations_cost_nothing_but_the_lack_of_overlap() -> None:
    synchronous, overlapped = (simulate([3.0], 1.0, 8, staleness, 8) for staleness in (0, 1))
    assert synchronous == pytest.approx((4.0, 3.0))
    assert overlapped == pytest.approx((3.0, 3.0))
    assert (synchronous.cost, overlapped.cost) == pytest.approx((0.25, 0.0))


def test_a_trainer_that_is_the_bottleneck_bounds_a_step() -> None:
    assert simulate([1.0], 5.0, 8, 1, 8) == pytest.approx((5.0, 5.0))


def test_a_synchronous_step_takes_its_longest_group_and_the_update() -> None:
    assert simulate([1.0, 1.0, 1.0, 9.0], 2.0, 4, 0, 4).step == pytest.approx(11.0)


def test_an_update_in_parts_is_done_with_the_first_before_the_last_is_made() -> None:
    assert simulate([1.0, 1.0, 1.0, 9.0], 2.0, 4, 0, 4, parts=2).step == pytest.approx(10.0)
    assert simulate([1.0, 1.0, 1.0, 9.0], 2.0, 4, 0, 4, parts=4).step == pytest.approx(9.5)


def test_with_a_long_tail_a_higher_staleness_costs_less_and_never_beats_the_bound() -> None:
    paces = [simulate(LONG_TAIL, 0.5, 16, staleness, 16) for staleness in range(9)]
    assert all(later.step <= 1.03 * earlier.step for earlier, later in itertools.pairwise(paces))
    assert paces[0].cost > 0.5 > 0.15 > paces[8].cost >= -0.02


def test_the_advised_staleness_is_the_least_that_costs_little() -> None:
    found = sufficient_staleness(LONG_TAIL, 0.5, 16, 0)
    assert found
    assert simulate(LONG_TAIL, 0.5, 16, found, 16).cost <= 0.1 < simulate(LONG_TAIL, 0.5, 16, found - 1, 16).cost
    assert sufficient_staleness([1.0], 0.01, 16, 0) == 0


def test_a_group_that_takes_a_hundred_steps_is_beyond_any_staleness() -> None:
    assert sufficient_staleness([0.1] * 63 + [1000.0], 0.1, 64, 0) is None


def stalled_run(durations: Sequence[float], staleness: int) -> list[str]:
    """The texts of the alerts of a run whose steps all stall for 6 of 10 seconds."""
    stalls, alerts = HeadOfLine(len(durations)), Alerts()
    for number in range(LAST):
        batch = Batch((), (), waits=((0.0, 9.0),), durations=tuple(durations), stalled=6.0)
        row = {"loss": 0.0, "step": number, "tokens/forward": 1, "reward/total": number, "groups/zero_variance": 0.0}
        alerts.seen({**row, **stalls.metrics(batch, 10.0, staleness)})
    return [alert.text for alert in alerts.given if alert.name == "head_of_line"]


def test_an_alert_names_the_staleness_that_would_not_stall() -> None:
    [text] = stalled_run(LONG_TAIL[:16], 1)
    assert "60% of the time" in text
    assert "rollout.staleness = " in text
    assert "(now 1)" in text
    [text] = stalled_run([0.1] * 63 + [1000.0], 0)
    assert f"no rollout.staleness up to {HIGHEST}" in text
    assert stalled_run([1.0] * 16, 1) == []  # a higher one would change nothing


def test_short_stalls_are_a_metric_without_advice() -> None:
    metrics = HeadOfLine(4).metrics(Batch((), (), waits=((0.0, 0.5),), durations=(0.1,) * 4, stalled=0.4), 0.8, 0)
    assert metrics == {"time/head_of_line": 0.4, "rate/head_of_line": 0.5}
    assert HeadOfLine(4).metrics(Batch((), ()), 0.0, 0)["rate/head_of_line"] == 0.0
