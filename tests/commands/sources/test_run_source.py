"""A run's folder as the viewer shows it."""

import json
from pathlib import Path

import pytest

from lachesis.commands.sources.run_source import RunSource
from lachesis.trainer.run.alerts import LAST
from lachesis.trainer.run.storage.reader import CONFIG, METRICS

SLOW = {
    "loss": 0.1,
    "groups/zero_variance": 0.4,
    "reward/total": 0.5,
    "tokens/forward": 1000.0,
    "staleness": 1.0,
    "time/step": 10.0,
    "rate/trainer_waiting": 0.8,
    "rate/engines_busy": 0.9,
}


@pytest.mark.parametrize(
    ("config", "advised"),
    [("[trainer]\nparts = 2\n", False), ("[trainer]\nparts = 1\n", True), ("[of_another_version]\n", True)],
)
def test_alerts_are_advice_for_the_config_of_the_run(tmp_path: Path, config: str, advised: bool) -> None:
    (tmp_path / CONFIG).write_text('[[environments]]\nuse = "arithmetic"\n' + config)
    rows = [json.dumps({"step": step, **SLOW}) for step in range(1, LAST + 1)]
    (tmp_path / METRICS).write_text("\n".join(rows) + "\n")
    (alert,) = RunSource("run", tmp_path).curves().alerts
    assert alert["name"] == "generation_slow"
    assert ("trainer.parts" in alert["text"]) is advised
