"""Runs that take groups from outside: a program that speaks the wire of Atropos feeds a tiny model."""

import asyncio
import contextlib
import importlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.config import RunConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import TRAJECTORIES
from lachesis.trainer.run.storage.run_state import RunState
from lachesis.trainer.train import train
from lachesis.verifiers.errors import ConfigError

from ...ports import free_port

PROGRAM = Path(__file__).with_name("atropos_environment.py")


def settings(out: Path, port: int, *others: dict[str, Any], **trainer: Any) -> dict[str, Any]:
    remote = {"use": "service", "label": "remote", "group_size": 4, "config": {"port": port, "patience": 2.0}}
    return {
        "name": "served",
        "out": str(out),
        "environments": [remote, *others],
        "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
        "rollout": {"inline": True, "slots": 16, "deadline": 60.0, "sampling": {"max_tokens": 4}},
        "trainer": {"steps": 4, "prompts": 4, "lr": 3e-3, "checkpoint_every": 2, "keep": 9, **trainer},
        "eval": {"every": 2, "tasks": 4},
    }


@contextlib.contextmanager
def environment(port: int, limit: int = 10_000) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, str(PROGRAM), f"http://127.0.0.1:{port}", str(limit)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(values: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    config = RunConfig.model_validate(values)
    folder = RunFolder.create(config)
    try:
        summary = asyncio.run(train(config, config.build_environments(), folder, Progress(4, quiet=True)))
    finally:
        folder.close()
    return folder.path, summary


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def trained(path: Path) -> list[tuple[int, float]]:
    """Number and first score of each group of the service that was trained, in order."""
    stored = TrajectoryStore(path / TRAJECTORIES).read()
    firsts = [one.trajectory for one in stored if one.attempt == 0 and one.trajectory.environment == "remote"]
    return [(first.task.info["number"], first.rewards["policy"].total) for first in firsts]


def test_a_program_that_speaks_the_wire_trains_the_model_without_held_out_tasks(tmp_path: Path) -> None:
    port = free_port()
    with environment(port):
        path, summary = run(settings(tmp_path, port))
    rows = [row for row in rows_of(path) if row["step"] > 0]
    assert summary["steps"] == 4
    assert summary["heldout_final"] is None
    assert [number for number, _ in trained(path)] == list(range(1, 17))
    assert all(row["tokens/sampled"] and row["loss"] is not None for row in rows)
    assert all("tokens/forced" not in row for row in rows)
    assert rows[0]["mismatch_kl"] < 1e-6, "the first groups are of the first weights, and have the engine's logprobs"
    assert rows[-1]["service/remote/exact"] >= 64
    assert not rows[-1]["service/remote/unprovable"]
    assert not any(name.startswith("heldout/") for row in rows for name in row)
    state = RunState.read(latest(path / "checkpoints") or path)
    assert state.services == {"remote": 16}


def test_a_service_and_another_environment_share_the_steps_by_weight(tmp_path: Path) -> None:
    port = free_port()
    other = {"use": "arithmetic", "group_size": 4, "config": {"digits": 1}, "weight": 3.0}
    with environment(port):
        path, summary = run(settings(tmp_path, port, other))
    labels = [one.trajectory.environment for one in TrajectoryStore(path / TRAJECTORIES).read() if one.attempt == 0]
    assert (labels.count("remote"), labels.count("arithmetic")) == (4, 12)
    assert summary["heldout_final"] is not None, "the other environment has held-out tasks"


def test_no_group_of_the_model_before_its_warm_start_is_trained(tmp_path: Path) -> None:
    port, warm = free_port(), {"steps": 6, "batch": 4, "every": 1}
    other = {"use": "arithmetic", "group_size": 4, "config": {"digits": 1}, "weight": 1e-9}
    with environment(port):
        path, _ = run({**settings(tmp_path, port, other, steps=2), "warm_start": warm})
    stored = [one.trajectory for one in TrajectoryStore(path / TRAJECTORIES).read()]
    assert {one.environment for one in stored} == {"remote"}
    assert min(one.task.info["version"] for one in stored) >= 6, "each warm-up step was published"


def test_a_failed_step_leaves_its_groups_in_the_queue_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, step, steps = free_port(), LocalLearner.policy_step, 0

    def policy_step(learner: LocalLearner, samples: Sequence[Sample], lr: float) -> Any:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise RuntimeError("the device is lost")
        return step(learner, samples, lr)

    with environment(port, limit=16) as program, monkeypatch.context() as patched:
        patched.setattr(LocalLearner, "policy_step", policy_step)
        with pytest.raises(RuntimeError, match="the device is lost"):
            run(settings(tmp_path, port))
        assert program.stdout
        program.kill()
        acknowledged = [json.loads(line)["number"] for line in program.stdout]
    (path,) = tmp_path.glob("served-*")
    assert RunState.read(latest(path / "checkpoints") or path).services == {"remote": 8}
    with contextlib.closing(sqlite3.connect(path / "service-0.sqlite")) as queue:
        queued = [number for (number,) in queue.execute("SELECT number FROM groups ORDER BY number")]
    assert queued[:4] == [9, 10, 11, 12], "the checkpoint has the groups before"
    assert set(range(9, acknowledged[-1] + 1)) <= set(queued)


def test_a_silent_service_leaves_the_steps_to_the_other_environment(tmp_path: Path) -> None:
    other = {"use": "arithmetic", "group_size": 4, "config": {"digits": 1}}
    values = settings(tmp_path, free_port(), other)
    values["environments"][0]["config"]["patience"] = 0.2
    path, summary = run(values)
    assert summary["steps"] == 4
    assert not trained(path)
    log = (path / "log").read_text()
    assert log.count("remote: no group came for 0.2 s (patience)") == 1


@contextlib.asynccontextmanager
async def running(values: dict[str, Any], port: int) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncio.Task[Any]]]:
    """A run that hosts its service in this process, once it listens; at the end it is waited for."""
    config = RunConfig.model_validate(values)
    folder = RunFolder.create(config)
    job = asyncio.create_task(train(config, config.build_environments(), folder, Progress(1, quiet=True)))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        await until_it_listens(session, job)
        yield session, job
        await job
    folder.close()


def test_a_group_that_cannot_be_trained_is_refused_with_field_and_index_and_ends_nothing(tmp_path: Path) -> None:
    port = free_port()
    bad = {
        "tokens": {"tokens": [[7, 8, 9], [7, 8, 10**6]], "masks": [[-100, 8, 9], [-100, 8, 10**6]]},
        "masks": {"masks": [[-100] * 3] * 2},
        "scores": {"scores": [0.0, 1e300]},
        "inference_logprobs": {"inference_logprobs": [[1, -1, -1], [1, -1, 0.5]]},
        "advantages": {"advantages": [[0, 1, 1e30], [0, 1, 1]]},
    }
    found: dict[str, Any] = {}

    async def post(values: dict[str, Any]) -> None:
        async with running(values, port) as (session, _):
            for name, fields in bad.items():
                async with session.post("/scored_data", json={**GOOD, **fields}) as response:
                    found[name] = (response.status, (await response.json())["detail"][0]["loc"])
            for path in ("/batch", "/reset_data"):
                async with session.get(path) as response:
                    found[path] = response.status if path == "/reset_data" else (await response.json())["batch"]
            async with session.post("/scored_data", json=GOOD) as response:
                found["good"] = await response.json()

    asyncio.run(post(settings(tmp_path, port, steps=1, prompts=1)))
    assert found == {
        "tokens": (422, ["body", "tokens", 1, 2]),
        "masks": (422, ["body", "masks"]),
        "scores": (422, ["body", "scores", 1]),
        "inference_logprobs": (422, ["body", "inference_logprobs", 1, 2]),
        "advantages": (422, ["body", "advantages", 0, 2]),
        "/batch": None,
        "/reset_data": 422,
        "good": {"status": "received"},
    }


GOOD = {"tokens": [[7, 8, 9]] * 2, "masks": [[-100, 8, 9]] * 2, "scores": [0.0, 1.0]}
SLOW_LOSS = """
import threading
from lachesis.trainer.losses.clipped import clipped

BEGUN, ANSWERED = threading.Event(), threading.Event()

def slow(tokens, config):
    BEGUN.set()
    assert ANSWERED.wait(60), "nothing was answered during the step"
    return clipped(tokens, config)
"""


def test_groups_and_questions_are_answered_while_a_step_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_loss.py").write_text(SLOW_LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    loss = importlib.import_module("slow_loss")
    port = free_port()
    found: dict[str, int] = {}

    async def ask(session: aiohttp.ClientSession, path: str, body: Any = None) -> int:
        async with session.request("GET" if body is None else "POST", path, json=body) as response:
            await response.read()
            return response.status

    async def post(values: dict[str, Any]) -> None:
        async with running(values, port) as (session, job):
            assert await ask(session, "/scored_data", GOOD) == 200
            while not loss.BEGUN.is_set() and not job.done():  # noqa: ASYNC110 - it is set in a thread
                await asyncio.sleep(0.01)
            for path in ("/status", "/health", "/metrics", "/openapi.json"):
                found[path] = await ask(session, path)
            found["/scored_data"] = await ask(session, "/scored_data", GOOD)
            found["/generate"] = await ask(session, "/generate", {"prompt": "Hi", "max_tokens": 2})
            loss.ANSWERED.set()

    asyncio.run(post(settings(tmp_path, port, steps=1, prompts=1, loss={"kind": "slow_loss:slow"})))
    assert set(found.values()) == {200}


async def until_it_listens(session: aiohttp.ClientSession, job: asyncio.Task[Any]) -> None:
    while not job.done():
        with contextlib.suppress(aiohttp.ClientConnectionError):
            await session.get("/")
            return
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_on_ray_hosts_the_service_and_its_engines_answer(tmp_path: Path, ranks: int) -> None:
    port = free_port()
    values = settings(tmp_path, port, steps=2, ranks=ranks)
    values["rollout"] |= {"inline": False, "workers": 1, "engines": 1}
    with environment(port):
        path, summary = run(values)
    assert summary["steps"] == 2
    assert [number for number, _ in trained(path)] == list(range(1, 9))
    assert RunState.read(latest(path / "checkpoints") or path).services == {"remote": 8}
    last = rows_of(path)[-1]
    assert last["service/remote/exact"] >= 32
    assert not last["service/remote/unprovable"]


@pytest.mark.parametrize(("part", "value"), [("eval", {"stop_at": 0.9}), ("warm_start", {"steps": 5})])
def test_what_needs_tasks_is_refused_where_none_of_the_environments_has_any(
    tmp_path: Path, part: str, value: dict[str, Any]
) -> None:
    config = RunConfig.model_validate({**settings(tmp_path, 0), part: value})
    with pytest.raises(ConfigError, match="needs tasks"):
        config.build_environments()
