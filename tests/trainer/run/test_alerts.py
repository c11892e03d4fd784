"""Alerts: each is given once when its condition has held, with what to change; a healthy run gives none."""

import re
from typing import Any

import pytest

from lachesis.trainer.config import RunConfig, TrainerConfig
from lachesis.trainer.run.alerts import LAST, RULES, Alerts
from lachesis.trainer.tune_config import SftConfig
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.settings import validated

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

WELL = {"heldout/accuracy": 0.6, "validation/loss": 1.0}

SICK = {
    "collapse": {"heldout/accuracy": 0.08},
    "overfitted": {"validation/loss": 1.2},
    "reward_hacked": {"heldout/accuracy": 0.45, "reward/total": 0.9},
    "greedy_only": {"reward/total": 0.05, "heldout/reward": 0.6},
    "broken_environment": {"attempts/raised": 0.2},
    "not_judged": {"attempts/unjudged": 0.2},
    "nothing_to_learn": {"groups/zero_variance": 1.0, "tokens/forward": 0.0},
    "entropy_collapse": {"entropy": 0.05},
    "mismatch_rises": {"mismatch_kl": 0.02},
    "replies_cut_off": {"stop/length": 0.8},
    "mostly_clipped": {"clip_fraction": 0.7},
    "engines_idle": {"rate/engines_busy": 0.1, "rate/trainer_waiting": 0.8, "time/step": 10.0},
    "head_of_line": {"rate/head_of_line": 0.4, "head_of_line/staleness": 3.0, "head_of_line/now": 1.0},
    "generation_slow": {"staleness": 1.0, "rate/engines_busy": 0.9, "rate/trainer_waiting": 0.8, "time/step": 10.0},
    "trainer_slow": {"staleness": 2.0, "rate/engines_idle": 0.6, "rate/updating": 0.9, "time/step": 10.0},
    "publication_slow": {"rate/publishing": 0.4, "time/step": 10.0},
}


def given(alerts: Alerts, count: int, **changed: Any) -> list[str]:
    return [alert.text for _ in range(count) for alert in alerts.seen({**HEALTHY, **changed})]


def history(name: str) -> list[dict[str, Any]]:
    """A healthy past; greedy replies that earn more than sampled ones do so from the beginning."""
    if name == "greedy_only":
        before = [{"step": -1, "warm_start/loss": 1.0}, {"step": 0, "heldout/reward": 0.6}]
        return [*before, *[{**HEALTHY, "reward/total": 0.05}] * (LAST - 1)]
    return [{**HEALTHY, **WELL}] * 20


@pytest.mark.parametrize("name", RULES)
def test_an_alert_is_given_once_when_its_condition_has_held_and_again_when_it_comes_back(name: str) -> None:
    assert given(Alerts(), 20) == []
    alerts = Alerts(history(name))
    (text,) = given(alerts, 3 * LAST, **SICK[name])
    assert given(alerts, 3 * LAST, **WELL) == []
    (again,) = given(alerts, 3 * LAST, **SICK[name])
    assert again == text
    assert [alert.name for alert in alerts.given] == [name, name]


@pytest.mark.parametrize("name", RULES)
def test_alerts_name_settings_that_exist(name: str) -> None:
    (text,) = given(Alerts(history(name)), 3 * LAST, **SICK[name])
    settings = re.findall(r"\b(?:trainer|rollout|model|warm_start)(?:\.\w+)+", text)
    assert settings or name in ("nothing_to_learn", "reward_hacked")
    for setting in settings:
        place: Any = RunConfig
        for part in setting.split("."):
            assert part in place.model_fields, setting
            place = place.model_fields[part].annotation


@pytest.mark.parametrize(
    ("name", "settings", "left_out"),
    [
        ("generation_slow", {"trainer": {"parts": 2}}, "trainer.parts"),
        ("generation_slow", {"trainer": {"offload": True}}, "trainer.parts"),
        ("trainer_slow", {"trainer": {"compile": True}}, "trainer.compile"),
        ("trainer_slow", {"rollout": {"engines": 1}}, "fewer engines"),
        ("publication_slow", {"trainer": {"lora": {"rank": 8}}}, "trainer.lora"),
        ("publication_slow", {"rollout": {"weight_transport": "nccl"}}, "rollout.weight_transport"),
        ("engines_idle", {"rollout": {"inline": True}}, "rollout.workers"),
        ("mostly_clipped", {"rollout": {"staleness": 0}}, "rollout.staleness"),
        ("mismatch_rises", {"rollout": {"staleness": 0}}, "rollout.staleness"),
        ("mismatch_rises", {"trainer": {"loss": {"importance_sampling": {"method": "tis"}}}}, "importance_sampling"),
        ("replies_cut_off", {"trainer": {"loss": {"overlong": "filter"}}}, "trainer.loss.overlong"),
        ("entropy_collapse", {"trainer": {"loss": {"clip_high": 0.3}}}, "0.28"),
        ("nothing_to_learn", {"trainer": {"dynamic_sampling": 2.0}}, "dynamic_sampling"),
        ("nothing_to_learn", {"warm_start": {"steps": 5}}, "warm start"),
        (
            "nothing_to_learn",
            {"environments": [{"use": "arithmetic", "curriculum": {"bands": ["easy", "hard"]}}]},
            "curriculum",
        ),
        ("not_judged", {"rollout": {"on_failure": "drop"}}, "rollout.retries"),
        ("broken_environment", {"rollout": {"on_failure": "fail"}}, "rollout.on_failure"),
        ("collapse", {"trainer": {"loss": {"kl": {"coef": 0.01}}}}, "a penalty"),
    ],
)
def test_no_alert_advises_what_the_run_does_already(name: str, settings: dict[str, Any], left_out: str) -> None:
    config = RunConfig.model_validate({"environments": [{"use": "arithmetic"}], **settings})
    (unknown,) = given(Alerts(history(name)), 3 * LAST, **SICK[name])
    (text,) = given(Alerts(history(name), config), 3 * LAST, **SICK[name])
    assert left_out in unknown
    assert left_out not in text
    later = Alerts(history(name))
    later.reconfigure(config)  # a setting that was changed while the run went on
    assert given(later, 3 * LAST, **SICK[name]) == [text]


def test_advice_about_rows_is_advice_that_their_config_takes() -> None:
    config = SftConfig.model_validate({"data": {"path": "rows.jsonl"}})
    alerts = Alerts(config=config)
    rows = [{"loss": 0.1, "heldout/accuracy": value, "validation/loss": 2 - value} for value in [0.6] * 20 + [0.0] * 2]
    texts = {alert.name: alert.text for row in rows for alert in alerts.seen(row)}
    assert set(texts) == {"collapse", "overfitted"}
    assert "trainer.loss" not in texts["collapse"]
    assert "data.epochs" not in texts["overfitted"]


def test_entropy_that_falls_because_the_task_is_learned_gives_no_alert() -> None:
    assert given(Alerts([HEALTHY] * 20), 3 * LAST, entropy=0.01, **{"reward/total": 0.95}) == []


def test_a_mismatch_from_the_start_gives_no_alert() -> None:
    assert given(Alerts(), 20, mismatch_kl=0.02) == []


def test_rows_of_a_warm_start_and_of_steps_that_computed_nothing_count_for_nothing() -> None:
    alerts = Alerts([{"step": -1, "warm_start/loss": 2.0}] * 10)
    assert given(alerts, 20, entropy=0.0, mismatch_kl=9.0, clip_fraction=1.0, **{"tokens/forward": 0.0}) == []


def evaluated(*values: float) -> list[str]:
    """The names of the alerts of a run that was evaluated every five steps."""
    alerts = Alerts()
    for step, value in enumerate(values):
        for inner in range(LAST):
            alerts.seen({"step": 5 * step + inner, **HEALTHY, **({"heldout/accuracy": value} if not inner else {})})
    return [alert.name for alert in alerts.given]


def test_one_bad_evaluation_is_no_collapse_and_two_are() -> None:
    assert evaluated(0.2, 0.665, 0.3, 0.64, 0.65) == []
    assert evaluated(0.2, 0.665, 0.4, 0.085, 0.08) == ["collapse"]
    assert evaluated(0.02, 0.05, 0.0, 0.0) == []  # it never could do it


def test_sampled_replies_that_catch_up_with_greedy_ones_give_no_alert() -> None:
    alerts = Alerts([{"step": -1, "warm_start/loss": 1.0}, {"step": 0, "heldout/reward": 0.6}])
    rewards = (0.05, 0.05, 0.4, 0.5, 0.6, 0.6)
    assert [text for reward in rewards for text in given(alerts, 1, **{"reward/total": reward})] == []


def test_a_run_that_collapses_at_once_is_not_told_to_sample_colder() -> None:
    alerts = Alerts([{"step": -1, "warm_start/loss": 1.0}, {"step": 0, "heldout/reward": 0.6}])
    rewards = (0.55, 0.1, 0.0, 0.0, 0.0, 0.0)
    assert [text for reward in rewards for text in given(alerts, 1, **{"reward/total": reward})] == []


def test_a_hacked_reward_is_found_in_its_environment() -> None:
    alerts = Alerts([{"step": 0, "heldout/sums/accuracy": 0.5, "heldout/words/accuracy": 0.5}])
    for step in range(1, 31):
        part = step / 30
        row = {"sums/reward/total": 0.5, "words/reward/total": 0.4 + 0.5 * part}
        held_out = {"heldout/sums/accuracy": 0.5, "heldout/words/accuracy": 0.5 - 0.4 * part} if step % 5 == 0 else {}
        alerts.seen({**HEALTHY, "step": step, **row, **held_out})
    assert [alert.name for alert in alerts.given] == ["reward_hacked"]
    assert "in words" in alerts.given[0].text


def test_an_alert_says_its_step_and_an_unknown_name_is_refused_with_the_nearest() -> None:
    alerts = Alerts()
    for step in range(1, 20):
        alerts.seen({"step": step, **HEALTHY, "stop/length": 0.9})
    assert [(alert.name, alert.step) for alert in alerts.given] == [("replies_cut_off", LAST)]
    with pytest.raises(ConfigError, match="no alert 'colapse'; did you mean 'collapse'"):
        validated(TrainerConfig, {"stop_on": ["colapse"]}, "trainer")


def test_rows_of_tuning_have_the_alerts_that_need_no_rollouts() -> None:
    alerts = Alerts()
    losses = [1.0, 0.9, 0.8, 0.9, 0.95, 1.0, 1.1]
    rows = [{"step": step, "loss": 0.1, "validation/loss": loss} for step, loss in enumerate(losses)]
    assert [(alert.name, alert.step) for row in rows for alert in alerts.seen(row)] == [("overfitted", 4)]
