"""``lachesis work``: processes that feed a real trainer over HTTP, are killed, and are followed by others."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from aiohttp import web

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.engine.routes import engine_routes
from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import TRAJECTORIES
from lachesis.trainer.run.storage.run_state import RunState
from lachesis.trainer.train import train

from ...ports import free_port

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "service.md"
LACHESIS = [sys.executable, "-m", "lachesis.commands.cli"]
STEPS, PROMPTS = 8, 3


class Watched(Progress):
    """Calls ``act`` after the second step, while the trainer waits for that."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(STEPS, quiet=True)
        self._act = act

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        super().update(step, metrics)
        if step == 2:
            self._act()


def settings(out: Path, port: int, **service: Any) -> dict[str, Any]:
    entry = {"use": "service", "label": "remote", "group_size": 4, "config": {"port": port, **service}}
    return {
        "name": "fed",
        "out": str(out),
        "environments": [entry],
        "model": {"path": "tiny", "context": 48, "tiny": {"hidden": 32, "layers": 1}},
        "rollout": {"inline": True, "slots": 16, "sampling": {"max_tokens": 4}},
        "trainer": {"steps": STEPS, "prompts": PROMPTS, "lr": 1e-3, "checkpoint_every": 3, "keep": 9},
    }


def run(out: Path, port: int, act: Callable[[], None], **service: Any) -> Path:
    """Train a tiny model for a few steps on what workers bring, and return the run's folder."""
    config = RunConfig.model_validate(settings(out, port, **service))
    folder = RunFolder.create(config)
    try:
        asyncio.run(train(config, config.build_environments(), folder, Watched(act)))
    finally:
        folder.close()
    return folder.path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def last_step(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):  # the file is not there yet, or its last line is not whole
        return max((row["step"] for row in rows_of(path)), default=0)
    return 0


@contextlib.contextmanager
def worker(port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    words = ["work", f"http://127.0.0.1:{port}", "--environment", "arithmetic", "--config.digits", "1", *options]
    with subprocess.Popen([*LACHESIS, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_worker_that_is_killed_is_followed_by_another_and_every_group_is_trained_with_exact_tokens(
    tmp_path: Path,
) -> None:
    port = free_port()
    with contextlib.ExitStack() as workers:
        first = workers.enter_context(worker(port, "--token", "secret", "--concurrency", "8"))
        others: list[subprocess.Popen[str]] = []

        def replace_first() -> None:
            first.send_signal(signal.SIGKILL)
            others.append(workers.enter_context(worker(port, "--token", "secret", "--patience", "1")))

        path = run(tmp_path, port, replace_first, host="0.0.0.0", token="secret", max_staleness=1)
        said, _ = others[0].communicate(timeout=240)

    rows = [row for row in rows_of(path) if row["step"] > 0]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert all(row["groups/attempts"] == 4 and row["tokens/sampled"] for row in rows)
    assert all(row["staleness"] <= 1 for row in rows)
    assert rows[0]["mismatch_kl"] < 1e-6, "the first groups are of the first weights, and have the engine's logprobs"
    assert rows[-1]["service/remote/refused"] == 0
    assert rows[-1]["service/remote/workers"] >= 1
    stored = [one.trajectory for one in TrajectoryStore(path / TRAJECTORIES).read()]
    assert len(stored) == STEPS * PROMPTS * 4
    assert all(one.environment == "remote" and re.fullmatch(r"\d\+\d=", str(one.task.prompt)) for one in stored)
    assert {part.label for one in stored for part in one.rewards["policy"].components} == {"exact", "digits"}
    assert others[0].returncode == 1, said
    (count,) = re.findall(r"stopped; (\d+) groups are stored", said)
    assert int(count) > 0, "the first worker could not fill all steps, as so many groups were not wanted from it"
    assert "has not answered for" in said


@pytest.mark.slow
def test_a_trainer_that_is_killed_and_resumed_trains_every_group_of_its_worker_once_and_in_order(
    tmp_path: Path,
) -> None:
    port, path = free_port(), tmp_path / "fed-1"
    (tmp_path / "run.toml").write_text(tomli_w.dumps(settings(tmp_path, port)))
    with worker(port) as process:
        for arguments, step in (["run.toml"], 3), (["--resume", str(path)], 6):
            trainer = subprocess.Popen([*LACHESIS, "train", *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL)
            while trainer.poll() is None and last_step(path) < step:
                time.sleep(0.02)
            trainer.kill()
            trainer.wait()
        subprocess.run([*LACHESIS, "train", "--resume", str(path)], check=True, stdout=subprocess.DEVNULL)
        assert process.poll() is None, "the worker has found the resumed run each time"
    rows = [row for row in rows_of(path) if row["step"] > 0]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    newest = latest(path / "checkpoints")
    assert newest is not None
    assert RunState.read(newest).services == {"remote": STEPS * PROMPTS}


@pytest.mark.slow
def test_the_commands_of_the_document_feed_a_run(tmp_path: Path) -> None:
    section = DOCUMENT.read_text().partition("## Rollout machines without Ray")[2].partition("\n## ")[0]
    assert section
    (toml,) = re.findall(r"^```toml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    lines = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    training, working = (next(line for line in lines if f"lachesis {name}" in line) for name in ("train", "work"))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    (tmp_path / "fed.toml").write_text(toml)
    small = f" --trainer.steps 2 --trainer.prompts 2 --environments.0.config.port {port} --trainer.lr 1e-3"
    with subprocess.Popen([*LACHESIS, *shlex.split(training + small)[1:]], cwd=tmp_path) as trainer:
        try:
            words = [address if word.startswith("http://") else word for word in shlex.split(working)[1:]]
            environment = {**os.environ, "LACHESIS_TOKEN": "secret"}
            done = subprocess.run(
                [*LACHESIS, *words, "--groups", "8", "--seed", "1"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[-1] == "stopped; 8 groups are stored"
            assert trainer.wait(timeout=240) == 0
        finally:
            trainer.kill()


TRAINER = """
import sys, time, requests
url, steps = sys.argv[1], 3
sizes = {"batch_size": 8, "max_token_len": 48, "save_checkpoint_interval": 1, "starting_step": 0, "num_steps": steps}
texts = {"wandb_group": "", "wandb_project": "", "checkpoint_dir": ""}
requests.post(url + "/register", json=sizes | texts, timeout=10).raise_for_status()
while steps:
    batch = requests.get(url + "/batch", timeout=10).json()["batch"]
    for group in batch or ():
        for tokens, mask, logprobs in zip(group["tokens"], group["masks"], group["inference_logprobs"], strict=True):
            trained = [at for at, token in enumerate(mask) if token != -100]
            assert [tokens[at] for at in trained] == [mask[at] for at in trained] and trained
            assert all(-0.5 <= logprobs[at] <= 0 for at in trained)
        assert len(group["scores"]) == 4
    print(len(batch or ()), flush=True)
    steps -= bool(batch)
    time.sleep(0.1)
"""
"""An Atropos-style trainer, which asks as ``example_trainer`` of Atropos does."""


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[str]:
    """The URL of an engine that answers ``/generate`` as vLLM does, on a thread; its tokenizer is in ``folder``."""
    renderer = Renderer(build_tiny_tokenizer())
    renderer.save(folder)
    scripted = ScriptedEngine(
        lambda request: ([48, request.sampling.stop_ids[0]], [-0.5, -0.25]), version=0, context=48
    )
    app = web.Application()
    memory = Conversations(renderer)
    app.add_routes(engine_routes(scripted, renderer, context=48, version=lambda: 0, memory=memory))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> web.AppRunner:
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize("service", ["lachesis serve", "run-api"])
def test_an_atropos_trainer_is_fed_through_a_bare_service(tmp_path: Path, service: str) -> None:
    python, port = os.environ.get("LACHESIS_ATROPOS_PYTHON", ""), free_port()
    if service == "run-api" and not python:
        pytest.skip("atroposlib is not installed: make atropos")
    ours = [*LACHESIS, "serve", "--store", str(tmp_path / "store.sqlite")]
    command = ours if service == "lachesis serve" else [python, "-m", "atroposlib.cli.run_api"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with engine(tmp_path / "model") as generates, subprocess.Popen([*command, "--port", str(port)], **quiet) as server:
        try:
            words = [
                "--engine",
                generates,
                "--tokenizer",
                str(tmp_path / "model"),
                "--group-size",
                "4",
                "--patience",
                "30",
            ]
            with worker(port, *words, "--rollout.sampling.max_tokens", "4") as process:
                assert process.stdout is not None
                assert "joining" in process.stdout.readline(), "it waits for service and trainer"
                address = f"http://127.0.0.1:{port}"
                command = [python or sys.executable, "-c", TRAINER, address]
                for _ in range(300):
                    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/info"):
                        break
                    time.sleep(0.1)
                done = subprocess.run(command, capture_output=True, text=True, timeout=240)
                assert done.returncode == 0, done.stderr
                assert [line for line in done.stdout.split() if line != "0"] == ["2", "2", "2"]
                said, _ = process.communicate(timeout=240)
                assert process.returncode == 0, said
                assert re.search(r"stopped; \d+ groups are stored", said)
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer:8000"], "is no URL; write http://host:port"),
        (["http://127.0.0.1:1", "--environment", "service"], "is not played"),
        (["http://127.0.0.1:1", "--environment", "arithmetick"], "arithmetic"),
        (["http://127.0.0.1:1", "--config.digitz", "1"], "digits"),
        (["http://127.0.0.1:1", "--engine", "http://127.0.0.1:2"], "--engine and --tokenizer are given together"),
        (["http://127.0.0.1:1", "--group-size", "4"], "--group-size only with them"),
        (["http://127.0.0.1:1", "--engine", "vllm:8000", "--tokenizer", "x"], "'vllm:8000' is no URL"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(words: list[str], message: str) -> None:
    words = words if "--environment" in words else [*words, "--environment", "arithmetic"]
    done = subprocess.run([*LACHESIS, "work", *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert sum(line.startswith("lachesis:") for line in done.stderr.splitlines()) == 1


def test_it_needs_no_ray_and_ends_cleanly_on_a_signal_though_no_service_answers() -> None:
    with worker(1) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "joining" in line
        assert "_raylet" not in Path(f"/proc/{process.pid}/maps").read_text()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        assert rest.endswith("stopped; 0 groups are stored\n")
