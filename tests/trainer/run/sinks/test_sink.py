"""Sinks get every finite number and some rollouts; one that fails is left out, and the others go on."""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lachesis.trainer.run.sinks.sink import RunFacts, SampleRow, Sinks, sample_rows
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group
from lachesis.verifiers.message import Message
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

GIVEN: list[object] = []


class Own:
    """A user's sink that fails at step 3."""

    def __init__(self, facts: RunFacts) -> None:
        GIVEN.append(facts.path.name)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == 3:
            raise ConnectionError("the service is gone")
        GIVEN.append((step, dict(metrics)))

    def samples(self, rows: Sequence[SampleRow]) -> None:
        GIVEN.append([row.reply for row in rows])

    def rewind(self, step: int) -> None:
        GIVEN.append(("rewind", step))

    def close(self) -> None:
        GIVEN.append("closed")


def group(*said: tuple[str, float]) -> Group:
    task = Task("2+2=")
    attempts = []
    for reply, score in said:
        messages = (Message(role="user", content="2+2="), Message(role="assistant", content=reply))
        reward = Reward((Component("exact", 1.0, Verdict(score)),))
        attempts.append(Trajectory(task, "toy", {POLICY: messages}, rewards={POLICY: reward}))
    return Group(0, task, tuple(attempts))


def test_a_sink_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "own_sink", sys.modules[__name__])
    GIVEN.clear()
    sinks = Sinks(["own_sink:Own", "prometheus"], RunFacts(tmp_path))
    with caplog.at_level(logging.WARNING, "lachesis"):
        for step in (1, 2, 3, 4):
            sinks.log(step, {"loss": step / 2})
            sinks.rewind(step)
    assert [tmp_path.name, (1, {"loss": 0.5}), ("rewind", 1), (2, {"loss": 1.0}), ("rewind", 2)] == GIVEN
    assert caplog.text.count("own_sink:Own gets nothing more, because it failed: ConnectionError") == 1
    text = (tmp_path / "metrics.prom").read_text()
    assert f'lachesis_step{{run="{tmp_path.name}"}} 4' in text
    assert f'lachesis_metric{{run="{tmp_path.name}",name="loss"}} 2.0' in text
    sinks.close()
    assert not (tmp_path / "metrics.prom").exists()


def test_a_missing_package_is_refused_when_the_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "no_such_package", None)
    with pytest.raises(ConfigError, match="no_such_package"):
        Sinks(["no_such_package:Sink"], RunFacts(tmp_path))


def test_the_first_and_the_best_attempt_of_a_group_are_samples() -> None:
    groups = [group(("4", 0.0), ("5", 1.0), ("6", 0.5)), group(("7", 1.0), ("8", 0.0))]
    rows = sample_rows(7, groups, 8)
    assert [(row.reply, row.reward, row.prompt, row.step) for row in rows] == [
        ("4", 0.0, "2+2=", 7),
        ("5", 1.0, "2+2=", 7),
        ("7", 1.0, "2+2=", 7),
    ]
    assert len(sample_rows(7, groups, 2)) == 2


def test_tensorboard_has_scalars_and_samples_and_forgets_what_a_resumed_run_repeats(tmp_path: Path) -> None:
    sinks = Sinks(["tensorboard"], RunFacts(tmp_path))
    for step in (1, 2, 3):
        sinks.log(step, {"loss": float(step)})
    sinks.samples(sample_rows(3, [group(("```hostile```", 1.0))], 8))
    sinks.rewind(2)
    sinks.log(3, {"loss": 9.0})
    sinks.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 9.0)]


WANDB = """
import math, sys
from pathlib import Path
from lachesis.trainer.run.sinks.sink import RunFacts, SampleRow, Sinks

sinks = Sinks(["wandb"], RunFacts(Path(sys.argv[1]), config={"trainer": {"lr": 1e-4}}))
for step in (-1, 0, 1, 2):
    sinks.log(step, {"loss": step / 2})
sinks.samples([SampleRow(2, "toy", "2+2=", "4", 1.0, "done")])
sinks.close()
"""


def test_weights_and_biases_gets_it_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the sink's test needs wandb")
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WANDB, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "gets nothing more" not in done.stderr
    (stored,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    data = stored.read_bytes()
    assert b"loss" in data
    assert list((tmp_path / "wandb").glob("offline-run-*/files/media/table/*.json"))
