"""Advice about speed is given where a part waits long, and not in runs where it has to or hardly does."""

from typing import Any

import pytest

from lachesis.trainer.run.alerts import LAST, Alerts

ROW: dict[str, Any] = {
    "loss": 0.1,
    "groups/zero_variance": 0.4,
    "reward/total": 0.5,
    "tokens/forward": 1000.0,
    "staleness": 1.0,
    "time/step": 10.0,
}


def names(**changed: Any) -> list[str]:
    alerts = Alerts()
    for _ in range(2 * LAST):
        alerts.seen({**ROW, **changed})
    return [alert.name for alert in alerts.given]


WAITING = {"rate/trainer_waiting": 0.8, "rate/engines_busy": 0.9}
IDLE = {"rate/engines_idle": 0.7, "rate/updating": 0.8}


@pytest.mark.parametrize(
    ("row", "name"),
    [(WAITING, "generation_slow"), (IDLE, "trainer_slow"), ({"rate/publishing": 0.5}, "publication_slow")],
)
def test_steps_of_a_toy_run_give_no_advice(row: dict[str, float], name: str) -> None:
    assert names(**row) == [name]
    assert names(**row, **{"time/step": 0.5}) == []


@pytest.mark.parametrize("row", [WAITING, IDLE])
def test_parts_of_a_synchronous_run_take_turns_on_purpose(row: dict[str, float]) -> None:
    assert names(**row, staleness=0.0) == []


def test_values_that_are_missing_or_not_finite_give_no_advice() -> None:
    missing = ("rate/trainer_waiting", "rate/engines_idle", "rate/publishing", "time/step", "staleness")
    assert names(**dict.fromkeys(missing)) == []
