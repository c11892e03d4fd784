"""An asynchronous run that is trained again from what it recorded has the same weights, and every change is found."""

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lachesis.commands.cli import cli
from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import Run
from lachesis.trainer.train import train
from lachesis.verifiers.errors import InputError
from lachesis.verifiers.group import Group

SETTINGS: dict[str, Any] = {
    "name": "toy",
    "seed": 5,
    "environments": [
        {"use": "arithmetic", "group_size": 4, "config": {"digits": 1}, "rubric": {"exact": 1.0, "digits": 0.5}}
    ],
    "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"inline": True, "slots": 16, "staleness": 2, "sampling": {"max_tokens": 4}},
    "warm_start": {"steps": 20, "batch": 16, "lr": 1e-2, "every": 20},
    "trainer": {
        "steps": 4,
        "prompts": 4,
        "lr": 3e-3,
        "schedule": "linear",
        "checkpoint_every": 2,
        "keep": 9,
        "dynamic_sampling": 1.0,
        "loss": {"importance_sampling": {"method": "tis"}, "kl": {"coef": 0.01}},
    },
    "eval": {"every": 0, "tasks": 4},
}


def trained(out: Path, resume: Path | None = None, rollout: dict[str, Any] | None = None, **trainer: Any) -> Path:
    """A run, or the continuation of one with other settings of the trainer; its folder."""
    config = RunConfig.model_validate(
        {
            **SETTINGS,
            "out": str(out),
            "rollout": {**SETTINGS["rollout"], **(rollout or {})},
            "trainer": {**SETTINGS["trainer"], **trainer},
        }
    )
    folder = RunFolder.open(resume) if resume else RunFolder.create(config)
    try:
        progress = Progress(config.trainer.steps, quiet=True)
        asyncio.run(train(config, config.build_environments(), folder, progress, resume=resume is not None))
    finally:
        folder.close()
    return folder.path


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An asynchronous run of six steps, of which the last two were taken with another loss and in parts."""
    out = tmp_path_factory.mktemp("run")
    run = trained(out)
    return trained(out, run, steps=6, parts=3, lr=1e-3, loss={"kind": "gspo", "kl": {"coef": 0.02}})


@pytest.fixture
def run(resumed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(resumed, tmp_path / "copy"))


def said(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(cli, ["replay", "--events", *words])


def changed(run: Path, step: int, change: Any) -> None:
    """Store the run's trajectories again, with the groups of ``step`` changed."""
    before = Run(run)
    groups: dict[int, dict[int, list[Any]]] = {}
    for stored in before.trajectories():
        groups.setdefault(stored.step, {}).setdefault(stored.group, []).append(stored)
    for file in (run / "trajectories.jsonl.zst", run / "trajectories.jsonl.zst.index"):
        file.unlink()
    store = TrajectoryStore(run / "trajectories.jsonl.zst")
    for number, by_group in groups.items():
        made = [
            Group(index, rows[0].trajectory.task, tuple(r.trajectory for r in rows), tuple(r.attempt for r in rows))
            for index, rows in by_group.items()
        ]
        store.append(number, change(made) if number == step else made)


def first_attempt_with(change: Any) -> Any:
    """A change of the first attempt of the first group that taught something."""

    def changing(groups: list[Group]) -> list[Group]:
        place = next(place for place, group in enumerate(groups) if not group.zero_variance)
        group = groups[place]
        first, *others = group.trajectories
        groups[place] = replace(group, trajectories=(change(first), *others))
        return groups

    return changing


def test_an_asynchronous_run_that_was_resumed_with_other_settings_is_trained_to_the_same_bits(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max(row.get("staleness", 0) for row in rows) == 2, "no token was old: nothing would be proved here"
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    result = said(str(run))
    assert result.exit_code == 0, result.stdout
    assert result.stdout == "6 steps trained again; checkpoints that are equal bit for bit: steps 0, 2, 4, 6\n"
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before


def test_it_can_begin_with_a_checkpoint(run: Path) -> None:
    for step in (0, 2):
        shutil.rmtree(run / "checkpoints" / f"step-00000{step}")
    result = said(str(run), "--from", "4")
    assert (result.exit_code, result.stdout) == (
        0,
        "2 steps trained again; checkpoints that are equal bit for bit: steps 6\n",
    )
    refused = said(str(run), "--from", "2")
    assert isinstance(refused.exception, InputError)
    assert "no checkpoint of step 2; choose one of: 4, 6" in str(refused.exception)


def test_a_changed_reward_is_found_with_its_step_group_and_attempt_and_in_the_weights(run: Path) -> None:
    def other(attempt: Any) -> Any:
        [(agent, reward)] = attempt.rewards.items()
        return attempt.with_rewards({agent: replace(reward, gate="exact", gated=reward.total + 1.0)})

    changed(run, 3, first_attempt_with(other))
    result = said(str(run), "--from", "2")
    assert result.exit_code == 1
    first, second, third = result.stdout.splitlines()
    assert first.startswith("step 3: group ")
    assert "attempt 0, segment 0: the advantages differ: " in first
    assert second.startswith("the checkpoint of step 4 differs: weights/")
    assert "numbers, by at most " in second
    assert third == "2 steps trained again; checkpoints that are equal bit for bit: none"


def test_a_changed_token_is_found_by_the_trainers_logprobs(run: Path) -> None:
    def other(attempt: Any) -> Any:
        [segment] = attempt.segments
        tokens = segment.tokens.copy()
        tokens[np.flatnonzero(segment.mask)[0]] += 1
        return replace(attempt, segments=(replace(segment, tokens=tokens),))

    changed(run, 4, first_attempt_with(other))
    result = said(str(run), "--from", "2")
    assert result.exit_code == 1
    assert result.stdout.startswith("step 4: group ")
    assert "the trainer's logprobs before the step differ" in result.stdout


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("order", r"step 3: the groups \(.*\) were trained, but \(.*\) are stored"),
        ("events", "does not say with which settings the run began"),
        ("event", "does not say what step 3 was trained on"),
        ("trajectories", "the trajectories of step 1 are missing"),
        ("every trajectory", "the trajectories of step 1 are missing"),
        ("the last trajectories", "the trajectories of step 6 are missing"),
        ("checkpoint", r"cannot begin with the checkpoint of step 2: .*\.metadata is missing"),
        ("ranks", "trainer.ranks = 2: the sums over several ranks cannot be repeated"),
    ],
)
def test_what_is_missing_or_in_another_order_is_said_in_one_line(run: Path, damage: str, says: str) -> None:
    events = run / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    if damage == "order":
        changed(run, 3, lambda groups: groups[::-1])
    elif damage == "events":
        events.unlink()
        events.write_text("".join(line for line in lines if '"started"' not in line))
    elif damage == "event":
        events.write_text("".join(line for line in lines if not ('"trained"' in line and '"step": 3,' in line)))
    elif damage == "trajectories":
        for file in run.glob("trajectories*"):
            file.write_bytes(b"")
        changed_store = TrajectoryStore(run / "trajectories.jsonl.zst")
        changed_store.append(2, [])
    elif damage == "every trajectory":
        for file in run.glob("trajectories*"):
            file.unlink()
    elif damage == "the last trajectories":
        with (run / "trajectories.jsonl.zst").open("rb+") as file:
            file.truncate(file.seek(0, 2) - 10)
    elif damage == "checkpoint":
        (run / "checkpoints" / "step-000002" / "state" / ".metadata").unlink()
    elif damage == "ranks":
        events.write_text(
            "".join(lines).replace('"ranks": 1', '"ranks": 2').replace('"inline": true', '"inline": false')
        )
    result = said(str(run), "--from", "2") if damage in ("order", "event", "checkpoint") else said(str(run))
    assert isinstance(result.exception, InputError), result.stdout
    with pytest.raises(InputError, match=says):
        raise result.exception


def test_a_run_without_steps_and_a_run_on_rows_are_refused_or_empty(tmp_path: Path) -> None:
    refused = said(str(tmp_path / "nothing"))
    assert isinstance(refused.exception, InputError)
    assert "not a run's folder" in str(refused.exception)
    (tmp_path / "config.toml").write_text("[data]\npath = 'rows.jsonl'\n")
    refused = said(str(tmp_path))
    assert isinstance(refused.exception, InputError)
    assert "was trained on rows" in str(refused.exception)


@pytest.mark.slow
def test_an_asynchronous_run_on_ray_is_trained_to_the_same_bits(tmp_path: Path) -> None:
    run = trained(tmp_path, rollout={"inline": False, "engines": 2, "workers": 2})
    result = said(str(run))
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("equal bit for bit: steps 0, 2, 4\n")
