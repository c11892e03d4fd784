"""Signs that a run goes wrong: each is told once when it has held, with what to change; a healthy run has none."""

import re
from typing import Any

import pytest

from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.alerts import LAST, SIGNS, Alerts

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


def told(symptoms: Alerts, count: int, **changed: Any) -> list[str]:
    return [text for _ in range(count) for text in symptoms.seen({**HEALTHY, **changed})]


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_is_told_once_when_it_has_held_and_again_when_it_comes_back(name: str) -> None:
    assert told(Alerts(), 20) == []
    symptoms = Alerts([HEALTHY] * 20)
    (text,) = told(symptoms, 3 * LAST, **SICK[name])
    assert told(symptoms, 3 * LAST) == []
    assert told(symptoms, 3 * LAST, **SICK[name]) == [text]


@pytest.mark.parametrize("name", SIGNS)
def test_what_it_tells_to_change_are_settings_that_there_are(name: str) -> None:
    (text,) = told(Alerts([HEALTHY] * 20), 3 * LAST, **SICK[name])
    settings = re.findall(r"\b(?:trainer|rollout|model)(?:\.\w+)+", text)
    assert settings or name == "nothing_to_learn"
    for setting in settings:
        place: Any = RunConfig
        for part in setting.split("."):
            assert part in place.model_fields, setting
            place = place.model_fields[part].annotation


def test_entropy_that_falls_because_the_task_is_learned_is_no_sign() -> None:
    assert told(Alerts([HEALTHY] * 20), 3 * LAST, entropy=0.01, **{"reward/total": 0.95}) == []


def test_a_mismatch_that_was_there_from_the_start_is_none() -> None:
    assert told(Alerts(), 20, mismatch_kl=0.02) == []


def test_rows_of_a_warm_start_and_of_steps_that_computed_nothing_count_for_nothing() -> None:
    symptoms = Alerts([{"step": -1, "warm_start/loss": 2.0}] * 10)
    assert told(symptoms, 20, entropy=0.0, mismatch_kl=9.0, clip_fraction=1.0, **{"tokens/forward": 0.0}) == []
