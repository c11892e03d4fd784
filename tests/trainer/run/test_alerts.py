"""Alerts: each is given once when its condition has held, with what to change; a healthy run gives none."""

import re
from typing import Any

import pytest

from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.alerts import LAST, RULES, Alerts

HEALTHY: dict[str, Any] = {
    "loss": 0.1,
    "groups/zero_variance": 0.4,
    "reward/total": 0.5,
    "entropy": 1.0,
    "mismatch_kl": 1e-4,
    "clip_fraction": 0.05,
    "tokens/forward": 1000.0,
    "stop/length": 0.1,
}

SICK = {
    "nothing_to_learn": {"groups/zero_variance": 1.0, "tokens/forward": 0.0},
    "entropy_collapse": {"entropy": 0.05},
    "mismatch_rises": {"mismatch_kl": 0.02},
    "replies_cut_off": {"stop/length": 0.8},
    "mostly_clipped": {"clip_fraction": 0.7},
}


def given(alerts: Alerts, count: int, **changed: Any) -> list[str]:
    return [text for _ in range(count) for text in alerts.seen({**HEALTHY, **changed})]


@pytest.mark.parametrize("name", RULES)
def test_an_alert_is_given_once_when_its_condition_has_held_and_again_when_it_comes_back(name: str) -> None:
    assert given(Alerts(), 20) == []
    alerts = Alerts([HEALTHY] * 20)
    (text,) = given(alerts, 3 * LAST, **SICK[name])
    assert given(alerts, 3 * LAST) == []
    assert given(alerts, 3 * LAST, **SICK[name]) == [text]


@pytest.mark.parametrize("name", RULES)
def test_alerts_name_settings_that_exist(name: str) -> None:
    (text,) = given(Alerts([HEALTHY] * 20), 3 * LAST, **SICK[name])
    settings = re.findall(r"\b(?:trainer|rollout|model)(?:\.\w+)+", text)
    assert settings or name == "nothing_to_learn"
    for setting in settings:
        place: Any = RunConfig
        for part in setting.split("."):
            assert part in place.model_fields, setting
            place = place.model_fields[part].annotation


def test_entropy_that_falls_because_the_task_is_learned_gives_no_alert() -> None:
    assert given(Alerts([HEALTHY] * 20), 3 * LAST, entropy=0.01, **{"reward/total": 0.95}) == []


def test_a_mismatch_from_the_start_gives_no_alert() -> None:
    assert given(Alerts(), 20, mismatch_kl=0.02) == []


def test_rows_of_a_warm_start_and_of_steps_that_computed_nothing_count_for_nothing() -> None:
    alerts = Alerts([{"step": -1, "warm_start/loss": 2.0}] * 10)
    assert given(alerts, 20, entropy=0.0, mismatch_kl=9.0, clip_fraction=1.0, **{"tokens/forward": 0.0}) == []
