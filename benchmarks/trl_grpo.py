"""The main job against TRL's GRPOTrainer: same model, prompts, lengths, reward and settings, one thread each.

Skipped with a line unless TRL is there: ``pip install trl``, or ``TRL_PYTHON=/path/to/python`` of an environment that
has TRL and this project. The limit of each row is TRL's figure.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import tomli_w

GOAL, STEPS, ROUNDS = 0.9, 250, 2
PEER = Path(__file__).parent / "peers" / "trl_arithmetic.py"
JOB: dict[str, Any] = {
    "name": "job",
    "environments": [{"use": "arithmetic", "group_size": 8}],
    "rollout": {"inline": True, "slots": 512, "sampling": {"max_tokens": 5}},
}
TRAINER = {"steps": STEPS, "prompts": 64, "lr": 6e-4, "schedule": "linear", "warmup": 10, "checkpoint_every": STEPS}


class Measured(NamedTuple):
    """One process: seconds from its start to the goal, those of a step (median), and its peak memory in MiB."""

    to_goal: float
    step: float
    memory: float
    steps: int


def rows() -> Iterator[tuple[str, float, str, float]]:
    python = os.environ.get("TRL_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import trl"], capture_output=True).returncode:
        print("trl_grpo: TRL is not installed here (pip install trl, or set TRL_PYTHON)")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = warmed(folder)
        pairs = [(ours(folder, model), peer(folder, model, python)) for _ in range(ROUNDS)]
    (one, other) = (Measured(*map(min, zip(*runs, strict=True))) for runs in zip(*pairs, strict=True))
    print(f"trl_grpo: {one.steps} steps to a mean reward of {GOAL}, TRL {other.steps}")
    yield "a step of GRPO, against TRL", 1e3 * one.step, "ms", 1e3 * other.step
    yield f"from the command to reward {GOAL}, against TRL", one.to_goal, "s", other.to_goal
    yield "peak memory, against TRL", one.memory, "MiB", other.memory


def warmed(folder: Path) -> Path:
    """A model that adds right about four times in ten, as both begin with."""
    model = {"path": "tiny", "context": 64}
    job(folder, "warm", model=model, warm_start={"steps": 500, "target": 0.4}, trainer={"steps": 0})
    subprocess.run(train(folder / "warm.toml"), check=True, capture_output=True)
    shutil.copytree(folder / "warm" / "job-1" / "checkpoints" / "step-000000", folder / "model")
    return folder / "model"


def ours(folder: Path, model: Path) -> Measured:
    """The job until a step's mean reward is the goal."""
    shutil.rmtree(folder / "job", ignore_errors=True)
    job(folder, "job", model={"path": str(model), "context": 64}, trainer=TRAINER, eval={"every": 0, "tasks": 50})

    def steps() -> list[tuple[float, float, float]]:
        log = folder / "job" / "job-1" / "metrics.jsonl"
        found = [json.loads(line) for line in lines(log)]
        return [(0.0, row["time/step"], row["reward/total"]) for row in found if row["step"] > 0]

    return measured(train(folder / "job.toml"), steps)


def peer(folder: Path, model: Path, python: str) -> Measured:
    """The same by TRL."""
    log = folder / "trl.jsonl"
    log.unlink(missing_ok=True)

    def steps() -> list[tuple[float, float, float]]:
        found = [json.loads(line) for line in lines(log)]
        return [(row["time"], row["seconds"], row["reward"]) for row in found]

    return measured([python, str(PEER), str(model), str(log), str(GOAL)], steps)


def measured(command: list[str], steps: Callable[[], list[tuple[float, float, float]]]) -> Measured:
    """Run ``command`` until the last of ``steps`` (ended at, seconds, reward) reaches the goal, and end it."""
    start = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found: list[tuple[float, float, float]] = []
    memory = 0.0
    while not found or found[-1][2] < GOAL:
        if process.poll() is not None:
            raise RuntimeError(f"{command[:3]} ended before the goal: {process.communicate()[1][-2000:]}")
        if time.time() > start + 900:
            process.kill()
            raise RuntimeError(f"{command[:3]} did not reach the goal in 900 s")
        memory = max(memory, peak(process.pid))
        time.sleep(0.02)
        found = steps()
    seconds = (found[-1][0] or time.time()) - start
    process.terminate()
    process.wait()
    return Measured(seconds, median(step for _, step, _ in found), memory, len(found))


def peak(pid: int) -> float:
    """MiB that the process has held at most so far."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def job(folder: Path, name: str, **parts: Any) -> None:
    (folder / f"{name}.toml").write_text(tomli_w.dumps({**JOB, "out": str(folder / name), **parts}))


def train(config: Path) -> list[str]:
    return [sys.executable, "-m", "lachesis.trainer.cli", "train", str(config)]


def lines(path: Path) -> list[str]:
    """The whole lines of a file that is being written."""
    return path.read_text().splitlines(keepends=True)[: path.read_text().count("\n")] if path.exists() else []
