"""A run's folder: what it is told is there again, whatever happened in between."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.config import RunConfig, load_config
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import read_metrics
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.secrets import REDACTED
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def config_in(out: Path, **changes: Any) -> RunConfig:
    return RunConfig(**{"name": "toy", "out": out, "environments": [{"use": "arithmetic"}], **changes})


def group(index: int) -> Group:
    task = Task(f"q{index}")
    return Group(index, task, (Trajectory(task),))


def test_folders_are_numbered_and_never_reused(tmp_path: Path) -> None:
    folders = [RunFolder.create(config_in(tmp_path / "new")) for _ in range(3)]
    assert [folder.path.name for folder in folders] == ["toy-1", "toy-2", "toy-3"]
    for folder in folders:
        folder.close()


def test_the_resolved_config_is_read_again_equal(tmp_path: Path) -> None:
    settings = {"path": 'data "x"/ä.jsonl', "limits": {"tokens": 9, "turns": 2}, "digits": 3}
    config = config_in(
        tmp_path,
        environments=[{"use": "arithmetic", "config": settings, "rubric": {"exact": 0.5}}, {"use": "gsm8k"}],
        trainer={"lr": 1e-5, "betas": (0.8, 0.95)},
        rollout={"engine_options": {"enforce_eager": True, "sizes": [1, 2]}},
    )
    folder = RunFolder.create(config)
    folder.close()
    assert load_config(folder.path / "config.toml") == config


def test_secrets_are_redacted_and_counts_of_tokens_are_not(tmp_path: Path) -> None:
    secrets = {"api_key": "sk-1", "hf_token": "hf-2", "deep": [{"password": "p-3"}], "AWS_SECRET": "s-4"}
    config = config_in(tmp_path, environments=[{"use": "x", "config": {**secrets, "max_tokens": 7, "tokens": "kept"}}])
    folder = RunFolder.create(config)
    folder.close()
    text = (folder.path / "config.toml").read_text()
    assert not any(secret in text for secret in ("sk-1", "hf-2", "p-3", "s-4"))
    assert text.count(REDACTED) == 4
    kept = load_config(folder.path / "config.toml").environments[0].config
    assert (kept["max_tokens"], kept["tokens"]) == (7, "kept")


def test_metrics_are_on_disk_at_once(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    folder.log_metrics(1, {"loss": 0.5, "odd": math.nan})
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "loss": 0.5, "odd": None}]
    folder.close()


def test_a_resumed_history_has_neither_hole_nor_double(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    for step in range(-2, 6):
        folder.log_metrics(step, {"loss": float(step)})
        folder.log_trajectories(step, [group(step)])
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a crash in the middle of a line
    folder.close()
    again = RunFolder.open(folder.path)
    again.rewind(3)
    for step in (4, 5, 6):
        again.log_metrics(step, {"loss": 10.0 * step})
        again.log_trajectories(step, [group(step)])
    again.close()
    steps = [row["step"] for row in read_metrics(folder.path / "metrics.jsonl")]
    assert steps == list(range(-2, 7))
    assert again.metrics()[-2]["loss"] == 50.0
    assert TrajectoryStore(folder.path / "trajectories.jsonl.zst").steps == steps


def test_a_history_with_lost_steps_is_gone_on_with_and_the_steps_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    for step in range(7):
        folder.log_metrics(step, {"loss": 1.0, "tokens/sampled": 5.0} if step else {"loss": 1.0})
        if step:
            folder.log_trajectories(step, [group(step)])
    folder.close()
    stored, metrics = folder.path / "trajectories.jsonl.zst", folder.path / "metrics.jsonl"
    stored.write_bytes(stored.read_bytes()[: sum(frame.length for frame in folder.trajectories.frames[:2]) + 3])
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([*lines[:4], *lines[5:]]))
    again = RunFolder.open(folder.path)
    with caplog.at_level(logging.WARNING, "lachesis"):
        again.rewind(5)
        assert "trajectories.jsonl.zst lacks steps 3, 5; the run goes on" in caplog.text
        assert "metrics.jsonl lacks step 4; " in caplog.text
        caplog.clear()
        again.rewind(2)
        assert caplog.text == ""
    again.close()


def test_a_spoilt_line_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(DataError, match="line 2"):
        read_metrics(path)


def test_the_summary_is_replaced_whole(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    folder.write_summary({"steps": 1})
    folder.write_summary({"steps": 2, "phases": {"update": 0.5}})
    folder.close()
    assert json.loads((folder.path / "summary.json").read_text()) == {"steps": 2, "phases": {"update": 0.5}}
    assert not list(folder.path.glob("*.draft"))


def test_what_lachesis_logs_is_in_the_log_until_it_is_closed(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    logging.getLogger("lachesis.rollout.workers.pool").info("engine %d is back", 1)
    folder.close()
    logging.getLogger("lachesis").warning("too late")
    text = (folder.path / "log").read_text()
    assert "engine 1 is back" in text
    assert "too late" not in text


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    folder.log_metrics(1, {"heldout/accuracy": 0.5, "reward/total": 0.4})
    assert folder.plot(target=0.9).read_bytes().startswith(b"\x89PNG")
    folder.close()


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.toml").write_text("")
    (path / "metrics.jsonl").symlink_to("/dev/full")
    folder = RunFolder.open(path)
    with pytest.raises(InfrastructureError, match="No space left on device; free the disk"):
        folder.log_metrics(1, {"loss": 1.0})
    with pytest.raises(InfrastructureError):
        folder.close()


def test_an_impossible_place_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="file"):
            RunFolder.create(config_in(out))
    with pytest.raises(ConfigError, match="cannot make"):
        RunFolder.create(config_in(tmp_path / ("x" * 300)))
    with pytest.raises(ConfigError, match="is not a run's folder"):
        RunFolder.open(tmp_path / "nowhere")


def test_two_runs_never_write_into_one_folder(tmp_path: Path) -> None:
    first = RunFolder.create(config_in(tmp_path))
    with pytest.raises(ConfigError, match=r"a run is under way in .*toy-1; stop it"):
        RunFolder.open(first.path)
    first.close()
    RunFolder.open(first.path).close()
