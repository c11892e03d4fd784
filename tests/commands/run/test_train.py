"""``lachesis train``: what it refuses, what it leaves, and how it stops and continues."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.orders import EVALUATION, TRAINING

from ...command_line import Lachesis

ENVIRONMENT = """
from lachesis import Environment, Task
class Own(Environment):
    def tasks(self, split, seed):
        return {}
"""


def test_a_wrong_config_is_refused_without_waiting_for_torch(config: Path, lachesis: Callable[..., Any]) -> None:
    done = lachesis("train", "toy.toml", "--trainer.stepz", "3", cwd=config.parent, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2
    assert "did you mean 'steps'" in done.stderr
    for heavy in ("torch", "ray", "transformers"):
        assert f" {heavy}\n" not in done.stderr


def test_an_empty_dataset_ends_before_a_folder_is_made(
    config: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    (config.parent / "none.py").write_text(ENVIRONMENT.format("[]"))
    refused(lachesis("train", "toy.toml", "--environments=[{use='none.py'}]", cwd=config.parent), "has no tasks")
    (config.parent / "none.py").write_text(ENVIRONMENT.format("[] if split == 'test' else [Task('q')]"))
    refused(lachesis("train", "toy.toml", "--environments=[{use='none.py'}]", cwd=config.parent), "in split 'test'")
    assert not (config.parent / "runs").exists()


PHASES = [
    "checking the config, the environments and the sandbox",
    "importing torch",
    "run: runs/toy-1",
    "preparing the model (tiny)",
    "loading the model into the torch engine",
    "loading the model into the trainer",
    "waiting for the engines",
    "publishing the weights",
    "warm start",
    "warm start 2/2  held-out accuracy",
    "evaluating on the held-out tasks",
    "training",
    "step 0/2  held-out accuracy",
    "step 1/2  reward",
    "step 2/2  reward",
    "writing the last checkpoint and the summary",
    "stopping",
]


def progress_in(output: str) -> list[str]:
    """The lines of progress, each without its elapsed time and without what follows the first result's name."""
    lines = re.findall(r"^\d+:\d\d  (.*)$", output, re.MULTILINE)
    return [re.split(r" (?=\d\.\d)", line)[0] for line in lines]


def test_a_run_leaves_everything_and_goes_on_from_its_folder_alone(config: Path, lachesis: Callable[..., Any]) -> None:
    folder = config.parent
    done = lachesis("train", "toy.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert progress_in(done.stdout) == PHASES
    run = folder / "runs" / "toy-1"
    names = {path.name for path in run.iterdir()}
    assert {"config.toml", "metrics.jsonl", "tensorboard", "trajectories.jsonl.zst", "checkpoints"} <= names
    assert {"summary.json", "learning_curve.png", "log"} <= names
    assert json.loads((run / "summary.json").read_text())["steps"] == 2
    again = lachesis("train", "--resume", "runs/toy-1", "--trainer.steps", "4", cwd=folder)
    assert again.returncode == 0, again.stderr
    resumed = [line for line in progress_in(again.stdout) if line.startswith("step ")]
    assert resumed == ["step 3/4  reward", "step 4/4  reward"]
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [step for step in steps if step > 0] == [1, 2, 3, 4]
    judged = lachesis("verify", "runs/toy-1", cwd=folder)
    assert "64 trajectories, 0 verdicts changed" in judged.stdout


@pytest.mark.parametrize(
    ("stop", "shell"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, []),
        (signal.SIGTERM, ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]),  # so a script starts what it ends with &
    ],
)
def test_a_stop_ends_cleanly_with_the_last_checkpoint_kept(
    config: Path, stop: signal.Signals, shell: list[str], wait_for: Callable[..., Any]
) -> None:
    process = subprocess.Popen(
        [*shell, sys.executable, "-m", "lachesis.commands.cli", "train", "toy.toml", "--trainer.steps=100000"],
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoints = config.parent / "runs" / "toy-1" / "checkpoints"
    wait_for(lambda: any(checkpoints.glob("step-*/manifest.json")), process)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("lachesis: stopped; last checkpoint: runs/toy-1/checkpoints/step-")


WAITS = """
import asyncio, pathlib
from lachesis.environments.shipped.arithmetic import Arithmetic


class Waits(Arithmetic):
    async def run(self, episode):
        await super().run(episode)
        steps = pathlib.Path("runs/toy-1/metrics.jsonl").read_text().count('"step": STEP,')
        if steps and not pathlib.Path("go").exists() and episode.seed[1] == PURPOSE:
            pathlib.Path("waiting").touch()
            await asyncio.sleep(1000)
"""


@pytest.mark.parametrize(("purpose", "logged", "every"), [(TRAINING, 2, 3), (EVALUATION, 1, 2)])
def test_a_stop_while_groups_are_made_leaves_a_checkpoint_of_the_last_step_and_the_run_goes_on_as_if_undisturbed(
    config: Path, lachesis: Callable[..., Any], wait_for: Callable[..., Any], purpose: int, logged: int, every: int
) -> None:
    folder = config.parent
    (folder / "waits.py").write_text(WAITS.replace("PURPOSE", str(purpose)).replace("STEP", str(logged)))
    config.write_text(config.read_text().replace('use = "arithmetic"', 'use = "waits.py"'))
    words = ["--trainer.steps=4", "--trainer.checkpoint_every=100", f"--eval.every={every}"]
    process = Lachesis("train", "toy.toml", "--inline", *words, cwd=folder)
    wait_for(lambda: (folder / "waiting").exists(), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert errors.strip().endswith("lachesis train --resume runs/toy-1 continues")
    assert (folder / "runs" / "toy-1" / "checkpoints" / "step-000002" / "manifest.json").exists()
    (folder / "go").touch()
    assert lachesis("train", "--resume", "runs/toy-1", "--inline", cwd=folder).returncode == 0
    assert lachesis("train", "toy.toml", "--inline", *words, cwd=folder).returncode == 0
    rows = [(folder / "runs" / name / "metrics.jsonl").read_text().splitlines() for name in ("toy-1", "toy-2")]
    stopped, undisturbed = ([untimed(json.loads(row)) for row in lines] for lines in rows)
    assert stopped == undisturbed


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics without what depends on time, and without versions, which are never used twice."""
    return {
        name: value
        for name, value in row.items()
        if not name.startswith(("time/", "rate/", "memory/")) and name != "version"
    }


PROGRAMS = """
from lachesis import Environment, Rubric, Task, use
class Programs(Environment):
    rubric = Rubric(use("code"))
    def tasks(self, split, seed):
        while True:
            yield Task("add", answer=[{"input": "1", "output": "1"}])
"""


def test_programs_without_a_sandbox_are_refused_before_anything_is_made(
    tmp_path: Path, config: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    (tmp_path / "own.py").write_text(PROGRAMS)
    config.write_text(config.read_text().replace('"arithmetic"', '"own.py"').replace("digits = 1", ""))
    nothing = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    trained = lachesis("train", str(config), "--sandbox.backend", "docker", cwd=tmp_path, **nothing)
    refused(trained, "own.py runs programs that the model writes: ", "start it")
    words = ["eval", "own.py", "--model", "m", "--url", "http://127.0.0.1:9/v1", "--sandbox.backend", "docker"]
    refused(lachesis(*words, cwd=tmp_path, **nothing), "own.py runs programs that the model writes: ", "start it")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "evals").exists()


BROKEN = """
from lachesis import Environment, Rubric, Task, use


class Broken(Environment):
    rubric = Rubric(use("exact"))

    def tasks(self, split, seed):
        while True:
            yield Task("1+1=", answer="never")

    async def run(self, episode):
        chat = episode.chat()
        chat.add("user", episode.task.prompt)
        if episode.rng.random() < 0.5:
            raise ValueError(f"odd roll {episode.rng.random()}")
        await chat.reply()
"""


def test_an_alert_ends_the_run_and_errors_are_named_by_their_place(
    config: Path, lachesis_here: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    (config.parent / "broken.py").write_text(BROKEN)
    words = ["--environments.0.use", "./broken.py", "--environments.0.config", "{}", "--trainer.steps", "20"]
    words += ["--warm_start.steps", "0", "--trainer.stop_on", '["broken_environment"]', "--rollout.retries", "0"]
    done = lachesis_here("train", str(config), *words, cwd=config.parent)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "ended by the alert broken_environment" in done.stderr
    assert "× ValueError: odd roll" in done.stdout
    assert "broken.py:" in done.stdout
    (run,) = (config.parent / "runs").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["stopped_by"]) == (5, "broken_environment")
    problems = json.loads((run / "errors.json").read_text())["problems"]
    assert len(problems) == 1
    assert problems[0]["file"].endswith("broken.py")
    assert problems[0]["count"] > 10
