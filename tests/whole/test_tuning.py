"""The loop of rejection sampling closes on a CPU: a half-trained model's own replies make it better, by SFT and by DPO.

Both take minutes, so they are slow; they print their figures.
"""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.evaluation import evaluate
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.trainer.config import RunConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.run.generation import pool_spec
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.train import train
from lachesis.trainer.tune import tune
from lachesis.trainer.tune_config import DpoConfig, SftConfig
from lachesis.verifiers.group import Group

Row = dict[str, Any]

SETTINGS: Row = {
    "environments": [{"use": "arithmetic", "group_size": 8}],
    "rollout": {"inline": True, "slots": 256, "sampling": {"max_tokens": 5}},
    "eval": {"every": 50, "tasks": 500},
    "model": {"path": "tiny", "context": 64},
}


def run(loop: Any, config: Any) -> tuple[Path, Row]:
    """A run in this process: its last checkpoint and its summary."""
    folder = RunFolder.create(config)
    try:
        summary = asyncio.run(loop(config, config.build_environments(), folder, Progress(1, quiet=True)))
    finally:
        folder.close()
    found = latest(folder.checkpoints)
    assert found is not None
    return found, summary


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A model that adds right about three times in ten, and how often it does."""
    parts: Row = {"warm_start": {"steps": 500, "target": 0.3}, "trainer": {"steps": 0}}
    config = RunConfig.model_validate({**SETTINGS, **parts, "out": str(tmp_path_factory.mktemp("half"))})
    path, summary = run(train, config)
    assert 0.3 <= summary["heldout_start"] < 0.6
    return path, summary["heldout_start"]


@pytest.fixture(scope="module")
def groups(half: tuple[Path, float]) -> list[Group]:
    """Eight sampled replies of that model to each of 2,000 tasks of the training split."""
    settings = {**SETTINGS, "model": {"path": str(half[0]), "context": 64}}
    config = RunConfig.model_validate(settings)

    async def play() -> list[Group]:
        pool = open_pool(pool_spec(config, config.model))
        try:
            learner = LocalLearner(config.model, config.trainer)
            await pool.publish(learner.send(pool.sender(), 0))
            (environment,) = config.build_environments()
            tasks = enumerate(itertools.islice(environment.tasks("train", 5), 2000))
            outcomes = evaluate(pool, 0, tasks, sampling=Sampling(max_tokens=5), attempts=8)
            return [outcome async for outcome in outcomes if isinstance(outcome, Group)]
        finally:
            await pool.close()

    return sorted(asyncio.run(play()), key=lambda group: group.index)


def replies(group: Group, right: bool) -> list[str]:
    found = [made for made in group.trajectories if next(iter(made.rewards.values())).success is right]
    return list(dict.fromkeys(made.completion() for made in found))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_supervised_tuning_on_its_own_right_replies_makes_a_model_better(
    tmp_path: Path, half: tuple[Path, float], groups: list[Group]
) -> None:
    rows = [
        {"messages": [*group.task.messages, {"role": "assistant", "content": reply}]}
        for group in groups
        for reply in replies(group, True)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"data": {"path": str(tmp_path / "rows.jsonl"), "batch": 64, "epochs": 4}, "trainer": {"lr": 3e-4}}
    model = {"path": str(half[0]), "context": 64}
    _, summary = run(tune, SftConfig.model_validate({**SETTINGS, **config, "model": model, "out": str(tmp_path)}))
    print(f"sft on {len(rows)} rows: {half[1]:.3f} to {summary['heldout_final']:.3f} in {summary['steps']} steps")
    assert summary["heldout_start"] == half[1]
    assert summary["heldout_final"] >= half[1] + 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tuning_by_preferences_between_its_own_replies_makes_a_model_better(
    tmp_path: Path, half: tuple[Path, float], groups: list[Group]
) -> None:
    rows = [
        {
            "prompt": group.task.messages,
            "chosen": [{"role": "assistant", "content": right}],
            "rejected": [{"role": "assistant", "content": wrong}],
        }
        for group in groups
        for right, wrong in zip(replies(group, True), replies(group, False), strict=False)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config: Row = {"data": {"path": str(tmp_path / "pairs.jsonl"), "batch": 64, "epochs": 4}, "trainer": {"lr": 1e-4}}
    config["dpo"] = {"beta": 1.0}  # with 0.1, the chosen replies soon lose probability as well
    model = {"path": str(half[0]), "context": 64}
    _, summary = run(tune, DpoConfig.model_validate({**SETTINGS, **config, "model": model, "out": str(tmp_path)}))
    print(f"dpo on {len(rows)} pairs: {half[1]:.3f} to {summary['heldout_final']:.3f} in {summary['steps']} steps")
    assert summary["heldout_start"] == half[1]
    assert summary["heldout_final"] >= half[1] + 0.1
