"""The tuning loop on a tiny model: it learns, resumes with the same bits, and leaves a folder like that of any run."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from lachesis.rollout.models.loading import load_model
from lachesis.trainer.config import RunConfig, load_config, load_config_of
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import Run
from lachesis.trainer.train import train
from lachesis.trainer.tune import tune
from lachesis.trainer.tune_config import DpoConfig, SftConfig, TuneConfig
from lachesis.verifiers.errors import ConfigError

Row = dict[str, Any]

PAIRS: list[Row] = [
    {"prompt": f"{a}+{b}=", "completion": str(a + b), "chosen": str(a + b), "rejected": "no"}
    for a in range(1, 6)
    for b in range(1, 5)
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    return path


def settings(rows: Path, out: Path, **parts: Any) -> Row:
    found: Row = {
        "out": str(out),
        "seed": 3,
        "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
        "data": {"path": str(rows), "batch": 4, "validation_share": 0.2},
        "trainer": {"steps": 6, "lr": 1e-2, "checkpoint_every": 2, "keep": 9},
        "eval": {"every": 3},
        "logging": {"sinks": []},
    }
    for part, values in parts.items():
        found[part] = {**found.get(part, {}), **values} if isinstance(values, dict) else values
    return found


def run(config: TuneConfig, resume: Path | None = None, changed: bool = False) -> tuple[Path, Row]:
    """A run in this process: its folder and summary."""
    folder = RunFolder.open(resume) if resume else RunFolder.create(config)
    try:
        loop = tune(config, config.build_environments(), folder, Progress(1, quiet=True), resume is not None, changed)
        return folder.path, asyncio.run(loop)
    finally:
        folder.close()


def weights_of(run: Path) -> str:
    newest = latest(run / "checkpoints")
    assert newest is not None
    return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()


def rows_of(run: Path) -> list[Row]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "rate/", "memory/"))} for row in found]


KINDS: dict[str, type[TuneConfig]] = {"sft": SftConfig, "dpo": DpoConfig}


@pytest.fixture(scope="module", params=KINDS)
def finished(
    request: pytest.FixtureRequest, rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Row]:
    """An undisturbed run of either kind."""
    config = KINDS[request.param].model_validate(settings(rows, tmp_path_factory.mktemp("finished")))
    return (request.param, *run(config))


def test_a_run_learns_and_leaves_what_every_run_leaves(finished: tuple[str, Path, Row]) -> None:
    kind, path, summary = finished
    found = rows_of(path)
    assert [row["step"] for row in found] == list(range(7))
    assert found[6]["loss"] < found[1]["loss"]
    assert summary["validation_final"] < summary["validation_start"]
    assert (summary["steps"], summary["heldout_start"], summary["metric"]) == (6, None, "validation/loss")
    assert (summary["rows"]["train"]["kept"], summary["rows"]["validation"]["kept"]) == (16, 4)
    figures = {"sft": {"token_accuracy"}, "dpo": {"rewards/accuracies", "rewards/margins", "reference_kl"}}[kind]
    for row in found[1:]:
        assert figures | {"loss", "grad_norm", "lr", "epoch", "tokens/trained", "rows"} <= row.keys()
    assert [row["step"] for row in found if "validation/loss" in row] == [0, 3, 6]
    if kind == "dpo":
        assert found[0]["validation/loss"] == pytest.approx(0.6931472, abs=1e-6)
        assert found[1]["rewards/margins"] == 0.0
    assert found[4]["epoch"] == 1.0
    assert Run(path).config().trainer.steps == 6
    assert {"config.toml", "summary.json", "learning_curve.png", "fingerprint.json"} <= {
        one.name for one in path.iterdir()
    }
    checkpoint = latest(path / "checkpoints")
    assert checkpoint is not None
    assert load_model(str(checkpoint), torch.float32, "cpu").num_parameters() > 0


def test_a_resumed_run_has_the_same_bits(finished: tuple[str, Path, Row], rows: Path, tmp_path: Path) -> None:
    kind, path, summary = finished
    half, _ = run(KINDS[kind].model_validate(settings(rows, tmp_path, trainer={"steps": 4})))
    for reference in half.glob("reference-*.npy"):
        reference.unlink()  # it is computed again, by the initial weights
    resumed, again = run(KINDS[kind].model_validate(settings(rows, tmp_path)), resume=half)
    assert weights_of(resumed) == weights_of(path)
    whole, found = rows_of(path), rows_of(resumed)
    for row, other in zip(whole, found, strict=True):  # the run of 4 steps evaluated at its end, too
        assert {name: other[name] for name in row} == row
    assert again["validation_final"] == summary["validation_final"]


def test_rows_that_have_changed_are_not_resumed(finished: tuple[str, Path, Row], rows: Path, tmp_path: Path) -> None:
    kind, path, _ = finished
    other = tmp_path / "other.jsonl"
    other.write_text(rows.read_text() + rows.read_text().splitlines()[0].replace("1+1", "7+1") + "\n")
    config = KINDS[kind].model_validate(settings(other, tmp_path, trainer={"steps": 7}))
    with pytest.raises(ConfigError, match=r"the rows have changed since .*rows\.train.*--changed"):
        run(config, resume=path)


def test_training_goes_on_from_a_tuned_checkpoint(rows: Path, tmp_path: Path) -> None:
    path, _ = run(SftConfig.model_validate(settings(rows, tmp_path, trainer={"steps": 1})))
    entry: Row = {"use": "arithmetic", "group_size": 2, "config": {"digits": 1}}
    checkpoint = str(latest(path / "checkpoints"))
    parts: Row = {
        "environments": [entry],
        "model": {"path": checkpoint, "context": 32},
        "rollout": {"inline": True, "slots": 4, "sampling": {"max_tokens": 4}},
        "eval": {"every": 0, "tasks": 4},
        "logging": {"sinks": []},
    }
    config = RunConfig.model_validate({**parts, "out": str(tmp_path), "trainer": {"steps": 1, "prompts": 1}})
    folder = RunFolder.create(config)
    environments = config.build_environments()
    assert asyncio.run(train(config, environments, folder, Progress(1, quiet=True)))["steps"] == 1
    folder.close()
    # and tuning evaluates on the held-out tasks by the same code
    with_tasks = settings(rows, tmp_path, environments=[entry], trainer={"steps": 1}, rollout=parts["rollout"])
    tuned, summary = run(DpoConfig.model_validate({**with_tasks, "model": parts["model"], "eval": parts["eval"]}))
    assert summary["metric"] == "accuracy"
    assert [row["step"] for row in rows_of(tuned) if "heldout/accuracy" in row] == [0, 1]


@pytest.mark.slow
def test_adapters_have_the_initial_model_as_their_reference(rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="peft is not installed")
    parts: Row = {"trainer": {"steps": 2, "lora": {"rank": 4}}}
    path, _ = run(DpoConfig.model_validate(settings(rows, tmp_path, **parts)))
    first, second = (row for row in rows_of(path) if row["step"] > 0)
    assert first["rewards/margins"] == 0.0
    assert second["rewards/margins"] != 0.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_killed_ends_with_the_bits_of_one_that_was_not(kind: str, rows: Path, tmp_path: Path) -> None:
    parts = settings(rows, tmp_path / "runs", trainer={"steps": 200, "checkpoint_every": 5})
    (tmp_path / "tune.toml").write_text(tomli_w.dumps(parts))
    words = [sys.executable, "-m", "lachesis.commands.cli", kind]
    subprocess.run([*words, "tune.toml"], cwd=tmp_path, check=True, capture_output=True)
    second = subprocess.Popen([*words, "tune.toml"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs = tmp_path / "runs"
    while len(list((runs / "run-2" / "checkpoints").glob("step-*/manifest.json"))) < 3:
        time.sleep(0.05)
        assert second.poll() is None
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    subprocess.run([*words, "--resume", str(runs / "run-2")], cwd=tmp_path, check=True, capture_output=True)
    assert weights_of(runs / "run-2") == weights_of(runs / "run-1")
    assert rows_of(runs / "run-2") == rows_of(runs / "run-1")


def test_a_config_of_the_other_command_is_refused_with_the_cure(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "sft.toml").write_text(tomli_w.dumps(settings(rows, tmp_path)))
    with pytest.raises(ConfigError, match=r"table \[data\], which lachesis sft and lachesis dpo read"):
        load_config(tmp_path / "sft.toml")
    for override, message in (
        ("--trainer.prompts=3", "trainer.prompts is for lachesis train"),
        ("--trainer.parts=3", "trainer.parts is for lachesis train"),
        ("--warm_start.steps=3", "warm_start is for lachesis train"),
        ("--rollout.staleness=1", "rollout.staleness is for lachesis train"),
        ("--eval.stop_at=0.5", "eval.stop_at needs environments"),
        ("--data.validation=x.jsonl", "exclude each other"),
        ("--data.batches=3", "did you mean 'batch'"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config_of(SftConfig, tmp_path / "sft.toml", [override])
        assert message in str(caught.value)
