"""The main job end to end on a tiny model: the same bits again, on Ray, after a resume and after kills."""

import asyncio
import contextlib
import hashlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.engine import EngineInfo
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.event_log import EVENTS
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.orders import EVALUATION, Order, Outcome
from lachesis.rollout.store import TrajectoryStore
from lachesis.rollout.workers import open_pool
from lachesis.rollout.workers.pool import InlinePool
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.trainer import train as main_job
from lachesis.trainer.config import RunConfig, TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import MANIFEST, latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.verifiers.errors import ConfigError, EngineError, InfrastructureError
from lachesis.verifiers.group import Group

Row = dict[str, Any]

SETTINGS: dict[str, Any] = {
    "name": "toy",
    "seed": 5,
    "environments": [
        {"use": "arithmetic", "group_size": 4, "config": {"digits": 1}, "rubric": {"exact": 1.0, "digits": 0.5}}
    ],
    "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"inline": True, "slots": 16, "deadline": 120.0, "sampling": {"max_tokens": 4}},
    "warm_start": {"steps": 40, "batch": 16, "lr": 1e-2, "every": 40},
    "trainer": {"steps": 4, "prompts": 4, "lr": 3e-3, "schedule": "linear", "checkpoint_every": 2, "keep": 5},
    "eval": {"every": 2, "tasks": 8},
}


ONE_OF_EACH = {"inline": False, "engines": 1, "workers": 1}
"""Ray with as few actors as there can be: each imports torch, which costs more than the run."""


def configured(out: Path, **parts: Any) -> RunConfig:
    """The settings above, with parts replaced, of tables only what is given."""
    merged = {**SETTINGS, "out": str(out)}
    for part, values in parts.items():
        merged[part] = {**merged.get(part, {}), **values} if isinstance(values, dict) else values
    return RunConfig.model_validate(merged)


def train(config: RunConfig, resume: Path | None = None) -> tuple[Path, Row]:
    """A whole run in this process: its folder and summary."""
    folder = RunFolder.open(resume) if resume else RunFolder.create(config)
    try:
        summary = asyncio.run(
            main_job.train(
                config, config.build_environments(), folder, Progress(4, quiet=True), resume=resume is not None
            )
        )
    finally:
        folder.close()
    return folder.path, summary


def rows_of(run: Path, *ignored: str) -> list[Row]:
    """The metrics of every step, without times, rates and memory."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = ("time/", "rate/", "memory/")
    return [
        {name: value for name, value in row.items() if not name.startswith(measured) and name not in ignored}
        for row in rows
    ]


def weights_of(run: Path) -> str:
    """Digest of the final weights."""
    newest = latest(run / "checkpoints")
    assert newest is not None
    return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()


DENSE = """
from lachesis import Environment, Task, reward

class Near(Environment):
    def tasks(self, split, seed):
        for number in range(40):
            if (number % 5 == 0) == (split == "test"):
                yield Task(f"{number}+1=", answer=str(number + 1))

    @reward()
    def near(self, case) -> float:
        return 1 / (1 + abs(len(case.completion) - 2))
"""


def test_a_dense_reward_has_no_accuracy_and_ends_no_run_unless_asked_to(tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text(DENSE)
    entries = [{"use": str(tmp_path / "near.py"), "group_size": 4}]
    run, summary = train(configured(tmp_path, environments=entries, warm_start={"steps": 0}, trainer={"steps": 2}))
    assert (summary["steps"], summary["metric"]) == (2, "reward")
    rows = rows_of(run)
    assert all("heldout/accuracy" not in row for row in rows)
    assert rows[0]["heldout/reward"] == summary["heldout_start"] > 0
    goal = {"every": 1, "stop_at": summary["heldout_start"] / 2}
    _, ended = train(configured(tmp_path, environments=entries, warm_start={"steps": 0}, eval=goal))
    assert ended["steps"] == 0, "the goal was reached before the first step, and the run was asked to end there"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Row]:
    """An undisturbed run that the others are held against."""
    return train(configured(tmp_path_factory.mktemp("finished")))


def test_a_run_learns_and_leaves_a_whole_history(finished: tuple[Path, Row]) -> None:
    run, summary = finished
    rows = rows_of(run)
    assert [row["step"] for row in rows] == list(range(-40, 5))
    trained = [row for row in rows if row["step"] > 0]
    assert any(row["loss"] for row in trained), "no group had any variance: nothing would be proved here"
    assert all(row["mismatch_kl"] < 1e-9 and row["probe_gap"] < 1e-4 and row["staleness"] == 0 for row in trained)
    assert [row["lr"] for row in trained] == pytest.approx([3e-3, 2.25e-3, 1.5e-3, 0.75e-3])
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert {"heldout_start", "heldout_final", "tokens_generated", "mismatch_kl", "checkpoint"} <= summary.keys()
    assert (summary["engine"], summary["seed"], summary["steps"], summary["warm_start_steps"]) == ("torch", 5, 4, 40)
    assert summary["tokens_generated"] == sum(row["tokens/sampled"] for row in trained)
    assert {"generation", "scoring", "update", "weight_sync"} <= summary["phases"].keys()
    assert 0 < sum(summary["phases"].values()) <= summary["wall_s"]
    assert json.loads((run / "summary.json").read_text()) == summary


def test_the_same_seed_gives_the_same_bits(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    again, _ = train(configured(tmp_path))
    assert rows_of(again) == rows_of(finished[0])
    assert weights_of(again) == weights_of(finished[0])


def test_another_seed_gives_others(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    other, _ = train(configured(tmp_path, seed=6))
    assert weights_of(other) != weights_of(finished[0])


def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    (run / "checkpoints" / "step-000004" / "state" / ".metadata").write_bytes(b"damaged")
    config = configured(tmp_path)
    _, summary = train(config, resume=run)
    # a version number names one set of weights for ever, so the versions go on behind those that were rolled back
    assert rows_of(run, "version") == rows_of(finished[0], "version")
    versions = [row["version"] for row in rows_of(run) if row["step"] > 0]
    assert min(versions[2:]) > max(row["version"] for row in rows_of(finished[0]) if row["step"] > 0)
    assert versions == sorted(set(versions))
    assert weights_of(run) == weights_of(finished[0])
    for name in ("steps", "heldout_start", "heldout_final", "tokens_generated", "mismatch_kl", "warm_start_steps"):
        assert summary[name] == finished[1][name]


def test_a_mixture_with_curricula_and_all_that_has_a_memory_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        environments=[
            {
                "use": "arithmetic",
                "label": "sums",
                "group_size": 4,
                "config": {"digits": 3, "least_digits": 1},
                "rubric": {"exact": 1.0, "digits": 0.5},
                "curriculum": {"bands": [1, 2, 3], "low": 0.01, "high": 0.5},
            },
            {"use": "arithmetic", "config": {"digits": 1}, "weight": 2.0, "group_size": 4, "min_share": 0.5},
        ],
        trainer={
            "steps": 6,
            "dynamic_sampling": 2.0,
            "advantage": "gdpo",
            "loss": {"kind": "gspo", "clip_high": 0.3, "kl": {"coef": 0.01}},
        },
    )
    whole, _ = train(config)
    rows = [row for row in rows_of(whole) if row["step"] > 0]
    assert any(row["groups/passed_over"] for row in rows)
    assert any(row["reference_kl"] > 0 for row in rows[1:])
    logged = {
        "sums/reward/exact",
        "arithmetic/groups/zero_variance",
        "mixture/sums/useful",
        "curriculum/sums/1/pass_rate",
    }
    assert all(any(name in row for row in rows) for name in logged)
    assert {"heldout/sums/accuracy", "heldout/arithmetic/accuracy"} <= rows[-1].keys()
    run = tmp_path / "copy"
    shutil.copytree(whole, run)
    for step in (4, 6):
        shutil.rmtree(run / "checkpoints" / f"step-{step:06d}")
    train(config, resume=run)
    assert rows_of(run, "version") == rows_of(whole, "version")
    assert weights_of(run) == weights_of(whole)


def test_a_run_that_is_resumed_when_it_is_done_stays_as_it_is(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    _, summary = train(configured(tmp_path), resume=run)
    assert rows_of(run) == rows_of(finished[0])
    timed = ("wall_s", "phases", "checkpoint")
    assert {key: summary[key] for key in summary if key not in timed} == {
        key: value for key, value in finished[1].items() if key not in timed
    }


def test_a_run_without_a_checkpoint_begins_again_with_a_clean_history(
    tmp_path: Path, finished: tuple[Path, Row]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    shutil.rmtree(run / "checkpoints")
    train(configured(tmp_path), resume=run)
    assert rows_of(run) == rows_of(finished[0])
    assert weights_of(run) == weights_of(finished[0])


def test_another_model_than_the_run_began_with_is_refused(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    other = configured(tmp_path, model={"tiny": {"hidden": 64, "layers": 1}})
    with pytest.raises(ConfigError, match="began with another model"):
        train(other, resume=run)


def test_a_model_that_a_crash_left_half_made_is_made_again(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    config = configured(tmp_path, trainer={"steps": 0})
    folder = RunFolder.create(config)
    folder.close()
    (folder.path / "model.draft").mkdir()
    (folder.path / "model.draft" / "model.safetensors").write_bytes(b"half")
    train(config, resume=folder.path)
    made = (folder.path / "model" / "model.safetensors").read_bytes()
    assert made == (finished[0] / "model" / "model.safetensors").read_bytes()


def test_divergence_names_the_step_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_step, plain_save, plain_saved = LocalLearner.policy_step, LocalLearner.save, LocalLearner.saved
    written, diverged = "", False

    def policy_step(self: LocalLearner, samples: list[Sample], lr: float) -> Any:
        nonlocal diverged
        diverged = lr < 1e-3
        bad = math.nan if diverged else 1.0
        return plain_step(self, [replace(one, advantages=one.advantages * bad) for one in samples], lr)

    def save(self: LocalLearner, folder: Path) -> None:
        nonlocal written
        written = folder.name
        plain_save(self, folder)

    def saved(self: LocalLearner) -> bool:  # the checkpoint of step 2 is still being written when step 4 diverges
        return plain_saved(self) and (diverged or written == "step-000000")

    config = configured(tmp_path, trainer={"max_nonfinite_steps": 0})
    folder = RunFolder.create(config)
    for replacement in (policy_step, save, saved):
        monkeypatch.setattr(LocalLearner, replacement.__name__, replacement)
    with pytest.raises(InfrastructureError, match=r"^step 4: training diverged: .*nan.*--resume"):
        asyncio.run(main_job.train(config, config.build_environments(), folder, Progress(4, quiet=True)))
    folder.close()
    newest = latest(folder.checkpoints)
    assert newest is not None
    assert newest.name == "step-000002"
    assert [row["step"] for row in rows_of(folder.path)][-1] == 3


@pytest.mark.parametrize("limit", [100_000, 200_000])  # below the size of the model, and of the optimizer
def test_a_full_disk_is_one_clear_error_and_leaves_the_checkpoint_before(
    tmp_path: Path, finished: tuple[Path, Row], limit: int
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    shutil.rmtree(run / "checkpoints" / "step-000004")
    sizes = [file.stat().st_size for file in (run / "checkpoints" / "step-000002").rglob("*")]
    assert max(sizes) > limit
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))
    try:
        with pytest.raises(InfrastructureError, match=r"cannot write .*--resume"):
            train(configured(tmp_path), resume=run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert latest(run / "checkpoints") == run / "checkpoints" / "step-000002"
    train(configured(tmp_path), resume=run)
    assert weights_of(run) == weights_of(finished[0])


LONG = """
from lachesis import Environment, Rubric, Task, use
class Long(Environment):
    rubric = Rubric(use("exact"))
    def tasks(self, split, seed):
        return [Task("1+1=" * 20, answer="2")]
"""


def test_prompts_that_leave_no_room_for_a_reply_end_the_run_instead_of_training_on_nothing(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    environments = [{"use": str(tmp_path / "long.py"), "group_size": 2}]
    with pytest.raises(InfrastructureError, match=r"no room in model\.context = 32"):
        train(configured(tmp_path, environments=environments, warm_start={"steps": 0}))


def test_an_engine_whose_logprobs_are_no_numbers_stops_the_run_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(InlinePool):
        async def compute_logprobs(self, tokens: Any, temperature: float = 1.0) -> list[Any]:
            whole = (await super().compute_logprobs(tokens, temperature))[0]
            return [whole, np.full_like(whole, np.nan), whole]

    monkeypatch.setattr(open_pool, "InlinePool", Broken)
    with pytest.raises(EngineError, match="have no effect: the probe's logprobs differ by nan"):
        train(configured(tmp_path))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    folder = tmp_path / "small"
    shutil.copytree(finished[0] / "model", folder)
    model = load_model(str(folder), torch.float32, "cpu")
    model.config.pad_token_id = model.config.eos_token_id = None
    model.resize_token_embeddings(20)
    model.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"gives token \d+, but its model has only 20"):
        train(configured(tmp_path, model={"path": str(folder)}))


def test_an_engine_with_another_vocabulary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(InlinePool):
        async def infos(self) -> list[EngineInfo]:
            return [replace(info, vocabulary=300) for info in await super().infos()]

    monkeypatch.setattr(open_pool, "InlinePool", Other)
    with pytest.raises(
        ConfigError, match=r"torch engine has a vocabulary of 300 tokens, and the trainer's model one of 2"
    ):
        train(configured(tmp_path))


NUMBERS = """
from lachesis import Environment, Task, reward
class Numbers(Environment):
    def tasks(self, split, seed):
        return [Task(f"{n}+1=", answer=str(n + 1)) for n in range(9)]
    @reward()
    def odd(self, case):
        return float("nan")
"""


def test_rewards_that_are_no_numbers_end_the_run_with_their_label_and_keep_its_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "numbers.py").write_text(NUMBERS)
    environments = [{"use": str(tmp_path / "numbers.py"), "group_size": 2}]
    with pytest.raises(InfrastructureError, match=r"odd.*nan"):
        train(configured(tmp_path, environments=environments, warm_start={"steps": 0}, rollout={"retries": 0}))


def test_a_demonstration_that_the_context_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"demonstration .* more than model\.context = 16"):
        train(
            configured(tmp_path, environments=[{"use": "arithmetic", "config": {"digits": 6}}], model={"context": 16})
        )


def test_staleness_is_bounded_and_in_one_process_changes_no_bit_from_run_to_run(tmp_path: Path) -> None:
    parts = {"rollout": {"staleness": 1}, "trainer": {"steps": 6, "parts": 4}}
    first, second = (train(configured(tmp_path, **parts))[0] for _ in range(2))
    assert max(row["staleness"] for row in rows_of(first) if row["step"] > 0) == 1
    assert rows_of(first) == rows_of(second)
    assert weights_of(first) == weights_of(second)


LATE = """
import asyncio
from lachesis.environments.shipped.arithmetic import Arithmetic

class Late(Arithmetic):
    async def run(self, episode):
        await asyncio.sleep(min(0.5, 0.01 * episode.rng.paretovariate(1.2)))
        await super().run(episode)
"""


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_with_a_long_tail_of_durations_groups_are_trained_in_order_and_no_token_is_too_old(
    tmp_path: Path, staleness: int
) -> None:
    (tmp_path / "late.py").write_text(LATE)
    entry = {"use": str(tmp_path / "late.py"), "group_size": 4, "config": {"digits": 1}}
    parts = {"environments": [entry], "rollout": {"staleness": staleness}, "trainer": {"steps": 10}, "eval": {}}
    run, _ = train(configured(tmp_path, **parts, warm_start={"steps": 0}))
    stored = list(TrajectoryStore(run / "trajectories.jsonl.zst").read())
    assert list(dict.fromkeys(row.group for row in stored)) == list(range(10 * 4))
    assert [row.step for row in stored] == [1 + row.group // 4 for row in stored]
    published = {row["step"]: int(row["version"]) for row in rows_of(run) if row["step"] > 0}
    ages = [
        published[row.step] - 1 - int(version)
        for row in stored
        for segment in row.trajectory.segments
        for version in segment.versions[segment.sampled]
    ]
    assert min(ages) >= 0
    assert max(ages) == staleness


@pytest.mark.parametrize("staleness", [0, 2])
def test_evaluation_uses_its_own_version_while_groups_of_the_next_step_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    evaluated: list[tuple[int, set[int]]] = []
    run = InlinePool.run

    async def observed(pool: InlinePool, orders: Sequence[Order]) -> list[Outcome]:
        outcomes = await run(pool, orders)
        if orders[0].seed[1] == EVALUATION:
            groups = [group for group in outcomes if isinstance(group, Group)]
            segments = [segment for group in groups for one in group.trajectories for segment in one.segments]
            evaluated.append((orders[0].version, {int(v) for one in segments for v in one.versions[one.sampled]}))
        return outcomes

    monkeypatch.setattr(InlinePool, "run", observed)
    parts = {"rollout": {"staleness": staleness}, "trainer": {"steps": 8}, "eval": {"every": 1}}
    folder, _ = train(configured(tmp_path, **parts))
    assert len(evaluated) >= 9
    assert all(versions == {version} for version, versions in evaluated)
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    spans = [(one["t"], one["t"] + one["seconds"], "purpose" in one) for one in events if one["event"] == "worker"]
    beside = [
        (begin, end)
        for begin, end, evaluates in spans
        if evaluates and any(other[0] < end and begin < other[1] for other in spans if not other[2])
    ]
    assert len(beside) >= 7 - 2 * staleness  # none before the first step, nor when the last steps' groups are made
    assert [row["heldout/accuracy"] is not None for row in rows_of(folder) if row["step"] >= 0] == 9 * [True]


def test_groups_under_way_end_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise InfrastructureError("no step today")

    async def left_over() -> set[str]:
        with pytest.raises(InfrastructureError, match="step 1: no step today"):
            await main_job.train(config, config.build_environments(), folder, Progress(4, quiet=True))
        await asyncio.sleep(0)  # the engine's own task sees that nobody waits any more
        return {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}

    monkeypatch.setattr(LocalLearner, "policy_step", failing)
    config = configured(tmp_path, rollout={"staleness": 2})
    folder = RunFolder.create(config)
    assert asyncio.run(left_over()) == set()
    folder.close()


@pytest.mark.slow
def test_ray_gives_the_bits_of_one_process_also_when_actors_are_killed(
    tmp_path: Path, finished: tuple[Path, Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    run_groups = RayPool.run

    async def run_and_kill(self: RayPool, orders: Any) -> Any:
        """Kill an engine in the second step and a worker in the third, while their groups are being made."""
        training = orders[0].seed[1] == 0
        groups = asyncio.ensure_future(run_groups(self, orders))
        if training and orders[0].index >= 4 * (1 + len(killed)) and len(killed) < 2:
            pids = await (self.worker_pids() if killed else self.engine_pids())
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])
        return await groups

    monkeypatch.setattr(RayPool, "run", run_and_kill)
    on_ray, _ = train(configured(tmp_path, rollout={"inline": False}))
    assert len(killed) == 2
    assert rows_of(on_ray) == rows_of(finished[0])
    assert weights_of(on_ray) == weights_of(finished[0])
    assert not ray_processes(descendants(os.getpid()))


def start(folder: Path, *words: str, **parts: dict[str, Any]) -> "subprocess.Popen[str]":
    """``lachesis train`` in a process group of its own, as a terminal starts it."""
    config = configured(folder / "runs", **parts).model_dump(mode="json", exclude_none=True)
    (folder / "toy.toml").write_text(tomli_w.dumps(config))
    return subprocess.Popen(
        [sys.executable, "-m", "lachesis.commands.cli", "train", *(words or ("toy.toml",))],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def ray_processes(pids: list[int]) -> list[str]:
    names = [Path(f"/proc/{pid}/comm") for pid in pids]
    return [text for path in names if path.exists() for text in [path.read_text().strip()] if "ray" in text.lower()]


def assert_ended(pids: list[int], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, [Path(f"/proc/{pid}/cmdline").read_bytes()[:300] for pid in alive]
        time.sleep(0.1)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"trainer": {"steps": 40}, "eval": {"every": 20}}
    expected, _ = train(configured(tmp_path / "expected", **parts))
    process = start(tmp_path, **parts, rollout=ONE_OF_EACH)
    run = tmp_path / "runs" / "toy-1"
    wait_for((run / "checkpoints" / "step-000008" / MANIFEST).exists, process)
    family = descendants(process.pid)
    actors = [pid for pid in family if b"Actor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(actors) == 2
    process.kill()
    process.wait()
    assert not (run / "summary.json").exists(), "the kill came too late to prove anything"
    assert_ended(actors, seconds=30)
    for pid in family:  # Ray's own agents notice only after a minute or two
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    train(configured(tmp_path, **parts), resume=run)
    assert rows_of(run, "version") == rows_of(expected, "version")
    assert weights_of(run) == weights_of(expected)


@pytest.mark.slow
def test_killed_while_checkpoints_are_written_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"trainer": {"steps": 30, "checkpoint_every": 1, "keep": 2}, "eval": {"every": 30}}
    expected, _ = train(configured(tmp_path / "expected", **parts))
    run = tmp_path / "runs" / "toy-1"
    half_written = 0
    for after in (3, 9, 15, 21, 27):
        process = start(tmp_path, *(["--resume", str(run)] if run.exists() else []), **parts)
        folder = run / "checkpoints" / f"step-{after:06d}"
        wait_for(folder.exists, process)  # it is begun, and not yet complete
        process.kill()
        process.communicate()
        half_written += not (folder / MANIFEST).exists()
        assert latest(run / "checkpoints") is not None
    assert half_written >= 3
    train(configured(tmp_path, **parts), resume=run)
    assert rows_of(run, "version") == rows_of(expected, "version")
    assert weights_of(run) == weights_of(expected)


def test_the_best_checkpoint_stays_and_what_follows_it_is_not_written_into_it(tmp_path: Path) -> None:
    trainer = {"steps": 8, "checkpoint_every": 1, "keep": 1}
    run, summary = train(configured(tmp_path, trainer=trainer, eval={"every": 1, "tasks": 40}))
    scores = {row["step"]: row["heldout/accuracy"] for row in rows_of(run) if row["step"] >= 0}
    best = min(step for step in scores if scores[step] == max(scores.values()))
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == sorted({f"step-{best:06d}", "step-000008"})
    assert summary["heldout_final"] == scores[8]
    assert 0 <= best < 8, "nothing to tell the best from the last by"


def test_adapters_are_trained_alone_and_go_everywhere_merged(tmp_path: Path, finished: tuple[Path, Row]) -> None:
    base = latest(finished[0] / "checkpoints")
    assert base is not None

    def adapted(out: str, rank: int = 4, **trainer: Any) -> RunConfig:
        lora = {"rank": rank, "alpha": 64}
        model = {"path": str(base), "context": 32}
        return configured(tmp_path / out, model=model, warm_start={"steps": 0}, trainer={"lora": lora, **trainer})

    run, _ = train(adapted("whole"))
    rows = [row for row in rows_of(run) if row["step"] > 0]
    assert all(row["probe_gap"] < 1e-4 and row["mismatch_kl"] < 1e-9 for row in rows)  # engines had them
    assert any(row["grad_norm"] for row in rows)
    newest = latest(run / "checkpoints")
    assert newest is not None
    before, after = (load_model(str(path), torch.float32, "cpu").state_dict() for path in (base, newest))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        name for name in before if "_proj" in name
    }
    uninterrupted = weights_of(run)
    shutil.rmtree(newest)
    train(adapted("whole"), resume=run)
    assert weights_of(run) == uninterrupted
    with pytest.raises(ConfigError, match=r"another model: .*lora_A.*trainer\.lora"):
        train(adapted("whole", rank=8, steps=6), resume=run)


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_run_with_its_last_checkpoint_kept(tmp_path: Path) -> None:
    process = start(tmp_path, rollout=ONE_OF_EACH, trainer={"ranks": 2, "steps": 100_000})
    run = tmp_path / "runs" / "toy-1"
    wait_for((run / "checkpoints" / "step-000002" / MANIFEST).exists, process)
    family = descendants(process.pid)
    ranks = [pid for pid in family if b"ray::Rank" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert "a rank of the trainer was lost" in errors
    assert "--resume" in errors
    assert latest(run / "checkpoints") is not None
    assert_ended(family)


@pytest.mark.slow
def test_ctrl_c_ends_ray_and_all_with_the_last_checkpoint_kept(tmp_path: Path) -> None:
    process = start(tmp_path, rollout=ONE_OF_EACH, trainer={"steps": 100_000})
    run = tmp_path / "runs" / "toy-1"
    wait_for((run / "checkpoints" / "step-000002" / MANIFEST).exists, process)
    family = descendants(process.pid)
    assert ray_processes(family)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: to all of the foreground group
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    (line,) = errors.strip().splitlines()
    assert line.startswith("lachesis: stopped; last checkpoint: ")
    assert latest(run / "checkpoints") is not None
    assert_ended(family)


def test_the_main_job_runs_on_vllm(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    model = {"tiny": {"hidden": 128, "layers": 1}}  # vLLM has no kernel for heads of less than 32
    process = start(tmp_path, rollout={"engine": "vllm"}, trainer={"steps": 2}, model=model)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    rows = [row for row in rows_of(tmp_path / "runs" / "toy-1") if row["step"] > 0]
    assert len(rows) == 2
    assert all(row["probe_gap"] < 1e-3 and row["mismatch_kl"] < 1e-6 for row in rows)
    assert any(row["loss"] for row in rows)


@pytest.mark.slow
def test_a_run_on_two_ranks_learns_the_same_and_goes_on_with_one(tmp_path: Path) -> None:
    constant = {"schedule": "constant", "parts": 2}
    alone, _ = train(configured(tmp_path / "alone", trainer=constant))
    run, _ = train(configured(tmp_path, rollout=ONE_OF_EACH, trainer={**constant, "ranks": 2, "steps": 2}))
    compared = ("step", "reward/total", "loss", "grad_norm", "heldout/accuracy", "tokens/trained", "entropy", "lr")
    rows = [[{name: row.get(name, 0.0) for name in compared} for row in rows_of(path)[:43]] for path in (run, alone)]
    assert rows[0] == [pytest.approx(row, rel=1e-3, abs=1e-5) for row in rows[1]]
    newest = latest(run / "checkpoints")
    assert newest is not None
    assert len(list((newest / "state").glob("*.distcp"))) == 2
    of_two, of_one = (LocalLearner(ModelConfig(path=str(run / "model"), context=32), TrainerConfig()) for _ in range(2))
    of_two.load(newest)
    of_one.load(alone / "checkpoints" / newest.name)
    saved = load_model(str(newest), torch.float32, "cpu").state_dict()
    assert of_two.send(ObjectStoreSender(), 0).digest == ship(ObjectStoreSender(), 0, saved).digest
    for first, second in zip(of_two.optimizer.state.values(), of_one.optimizer.state.values(), strict=True):
        assert first["step"] == second["step"] == 2
        assert torch.allclose(first["exp_avg"], second["exp_avg"], rtol=1e-3, atol=1e-5)
    train(configured(tmp_path, trainer=constant), resume=run)
    assert rows_of(run)[-1]["step"] == 4
