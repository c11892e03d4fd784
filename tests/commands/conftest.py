"""What tests of the commands share: the command line in a process of its own, and a small run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lachesis.commands import cli
from lachesis.commands.eval.score_file import ScoreFile
from lachesis.rollout.store import TrajectoryStore
from lachesis.verifiers.group import Group
from lachesis.verifiers.message import Message
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, wrong

from ..command_line import run_lachesis

CONFIG = """
name = "toy"
out = "runs"
[[environments]]
use = "arithmetic"
group_size = 4
[environments.config]
digits = 1
[model]
context = 32
[model.tiny]
hidden = 32
[rollout]
inline = true
slots = 16
[rollout.sampling]
max_tokens = 4
[trainer]
steps = 2
prompts = 4
[warm_start]
steps = 2
batch = 4
every = 2
[eval]
tasks = 4
"""


@pytest.fixture(scope="session")
def lachesis() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command line with some words; Python is started for it if it gets further variables."""

    def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        if not environment:
            return run_lachesis(*words, cwd=cwd)
        return subprocess.run(
            [sys.executable, "-m", "lachesis.commands.cli", *words],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.fixture
def lachesis_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command line in this process, which has imported torch already: many errors in a short time."""
    for name, value in {"COLUMNS": "200", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["lachesis", *words])
        monkeypatch.setattr(sys, "path", [*sys.path])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return subprocess.CompletedProcess(words, code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Checks how a command ended."""

    def check(done: subprocess.CompletedProcess[str], *parts: str, code: int = 2) -> None:
        """It ended with ``code`` and one line on stderr that has the ``parts``."""
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert done.stderr.startswith("lachesis: error: ")
        for part in parts:
            assert part in done.stderr

    return check


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Waits until something holds of a process."""

    def wait(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.05)

    return wait


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(CONFIG)
    return path


def made(
    question: str,
    reply: str,
    score: float | None = 1.0,
    *,
    environment: str = "toy",
    stop: StopReason = StopReason.DONE,
    error: str | None = None,
) -> Trajectory:
    """A trajectory of one turn and six tokens; without a score, its verifier failed."""
    verdict = infra_error("down") if score is None else Verdict(score) if score else wrong("no", found=reply[:20])
    reward = Reward((Component("exact", 1.0, verdict), Component("length", 0.0, Verdict(float(len(reply))))))
    prompt, said = Message(role="user", content=question), Message(role="assistant", content=reply)
    sampled = np.arange(6) >= 3
    segment = Segment(
        tokens=np.arange(6) + 1,
        sampled=sampled,
        mask=np.arange(6) >= 4,
        logprobs=np.where(sampled, np.float32(-0.5), np.nan).astype(np.float32),
        versions=np.where(sampled, 2, -1),
    )
    return Trajectory(
        Task(question), environment, {POLICY: (prompt, said)}, (segment,), {}, stop, error, rewards={POLICY: reward}
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., Trajectory]:
    """Makes a trajectory; see ``made``."""
    return made


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Writes a run's folder by hand: ``write_run(folder, {step: [[trajectory, …], …]}, metrics)``."""

    def write(folder: Path, steps: dict[int, list[list[Trajectory]]], metrics: "list[dict[str, float]]") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "config.toml").exists():
            (folder / "config.toml").write_text(CONFIG)
        store = TrajectoryStore(folder / "trajectories.jsonl.zst")
        number = max((row.group for row in store.read()), default=-1) + 1
        for step, groups in steps.items():
            stored = []
            for attempts in groups:
                stored.append(Group(number, attempts[0].task, tuple(attempts)))
                number += 1
            store.append(step, stored)
        with (folder / "metrics.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in metrics)
        return folder

    return write


@pytest.fixture(scope="session")
def write_eval() -> Callable[..., Path]:
    """Writes an evaluation's file by hand: ``write_eval(path, [(attempt, trajectory), …], model)``."""

    def write(path: Path, attempts: "list[tuple[int, Trajectory]]", model: str = "m") -> Path:
        with ScoreFile(path, {"environments": {"toy": {"use": "toy", "config": {}}}, "model": model}) as file:
            for attempt, trajectory in attempts:
                file.add(attempt, trajectory)
        return path

    return write
