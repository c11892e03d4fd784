"""The main job against TRL's GRPOTrainer: same model, prompts, lengths, reward and settings, one thread each.

It needs TRL: ``pip install trl``, or ``TRL_PYTHON=/path/to/python`` of an environment that has it; otherwise it is
skipped with a message. The two take turns, once for each seed, and start from the same warm-started weights. A row is
the median over the seeds, and its limit is TRL's figure. Seconds, steps and memory of both are measured from outside.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import tomli_w

from lachesis.environments.shipped.arithmetic import Arithmetic

GOAL, STEPS, PROMPTS, SEEDS, RAY_STEPS = 0.9, 250, 64, 3, 15
PEER = Path(__file__).parent / "peers" / "trl_arithmetic.py"
JOB: dict[str, Any] = {
    "name": "job",
    "environments": [{"use": "arithmetic", "group_size": 8}],
    "rollout": {"inline": True, "slots": 512, "sampling": {"max_tokens": 5}},
}
TRAINER = {
    "prompts": PROMPTS,
    "lr": 6e-4,
    "schedule": "linear",
    "warmup": 10,
    "micro_tokens": 1024,  # the fastest on a CPU, with the least memory, like the peer's micro-batch
    "checkpoint_every": STEPS,
}
LONGEST = 900
"""The most seconds that a process may take."""


class Reading(NamedTuple):
    """The log of one step: its mean reward, and the seconds that its update took."""

    reward: float
    update: float


class Watched(NamedTuple):
    """A process: seconds to its goal, seconds of a step and of an update (medians), peak MiB, and number of steps."""

    seconds: float
    step: float
    update: float
    memory: float
    steps: float


def rows() -> Iterator[tuple[str, float, str, float]]:
    python = os.environ.get("TRL_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import trl"], capture_output=True).returncode:
        print("trl_grpo: TRL is not installed here (pip install trl, or set TRL_PYTHON)")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = warmed(folder)
        pairs = [(ours(folder, model, seed), peer(folder, model, seed, python)) for seed in range(SEEDS)]
        on_ray = ours(folder, model, 0, GOAL + 1, steps=RAY_STEPS, rollout={**JOB["rollout"], "inline": False})
    for seed, (one, other) in enumerate(pairs):
        print(
            f"trl_grpo: seed {seed}, to a mean reward of {GOAL}: {one.steps} steps in {one.seconds:.0f} s, "
            f"TRL {other.steps} in {other.seconds:.0f} s"
        )
    one, other = (Watched(*map(median, zip(*runs, strict=True))) for runs in zip(*pairs, strict=True))
    yield "a step of GRPO, against TRL", 1e3 * one.step, "ms", 1e3 * other.step
    yield "its update, against TRL", 1e3 * one.update, "ms", 1e3 * other.update
    yield f"from the command to reward {GOAL}, against TRL", one.seconds, "s", other.seconds
    yield "peak memory in one process, against TRL", one.memory, "MiB", other.memory
    yield "peak memory of all processes on Ray, against TRL", on_ray.memory, "MiB", other.memory


def warmed(folder: Path) -> Path:
    """Make the model that both start from: it is right in about 40 % of the sums with greedy decoding."""
    model = {"path": "tiny", "context": 64}
    job(folder, "warm", model=model, warm_start={"steps": 500, "target": 0.4}, trainer={"steps": 0})
    subprocess.run(train(folder / "warm.toml"), check=True, capture_output=True)
    shutil.copytree(folder / "warm" / "job-1" / "checkpoints" / "step-000000", folder / "model")
    return folder / "model"


def ours(folder: Path, model: Path, seed: int, goal: float = GOAL, steps: int = STEPS, **parts: Any) -> Watched:
    """Run the job until the mean reward of a step is ``goal``; with a goal that cannot be reached, to its end."""
    shutil.rmtree(folder / "job", ignore_errors=True)
    settings = {"seed": seed, "model": {"path": str(model), "context": 64}, "eval": {"every": 0, "tasks": 50}}
    job(folder, "job", **settings, trainer={**TRAINER, "steps": steps}, **parts)
    spent = 0.0

    def reading(row: dict[str, Any]) -> Reading | None:
        nonlocal spent
        if row["step"] < 1:
            return None
        total = row["time/update"] + row["time/weight_sync"]  # since the start of the run
        update, spent = total - spent, total
        return Reading(row["reward/total"], update)

    return watch(train(folder / "job.toml"), folder / "job" / "job-1" / "metrics.jsonl", reading, goal)


def peer(folder: Path, model: Path, seed: int, python: str) -> Watched:
    """Run the same job with TRL, over the same tasks."""
    tasks, log = folder / "tasks.jsonl", folder / "trl.jsonl"
    log.unlink(missing_ok=True)
    drawn = islice(Arithmetic().tasks("train", seed), STEPS * PROMPTS)
    tasks.write_text("".join(json.dumps({"prompt": task.prompt, "answer": task.answer}) + "\n" for task in drawn))
    command = [python, str(PEER), str(model), str(tasks), str(log), str(seed)]
    return watch(command, log, lambda row: Reading(row["reward"], row["update"]), GOAL)


def job(folder: Path, name: str, **parts: Any) -> None:
    (folder / f"{name}.toml").write_text(tomli_w.dumps({**JOB, "out": str(folder / name), **parts}))


def train(config: Path) -> list[str]:
    return [sys.executable, "-m", "lachesis.commands.cli", "train", str(config)]


def watch(command: list[str], log: Path, reading: Callable[[dict[str, Any]], Reading | None], goal: float) -> Watched:
    """Run ``command`` until it logs a step with the reward ``goal``, then end it; above 1, wait for its own end.

    A step lasts from one line of ``log`` to the next, so that everything the process does between them counts.

    Raises:
        RuntimeError: The process failed, ended before the goal, or took too long.
    """
    seen: list[tuple[float, Reading]] = []
    known, memory, looked = 0, 0.0, 0.0
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        alive, reached = True, False
        while alive and not reached:
            alive, now = process.poll() is None, time.perf_counter()  # before the log is read: nothing comes after
            rows, known = new_rows(log, known)
            seen += [(now, found) for row in rows if (found := reading(row))]
            reached = bool(seen) and seen[-1][1].reward >= goal
            if now > looked + 0.25:
                memory, looked = max(memory, held(process.pid)), now
            if now > start + LONGEST:
                process.kill()
            time.sleep(0.005)
        if not reached and (process.returncode or goal <= 1):
            output.seek(0)
            raise RuntimeError(f"{command[:3]} ended before the goal: {output.read()[-2000:]}")
        process.terminate()
        process.wait()
    steps = [after - before for (before, _), (after, _) in pairwise(seen)]
    updates = [found.update for _, found in seen[1:]]
    return Watched(seen[-1][0] - start, median(steps), median(updates), memory, len(seen))


def new_rows(log: Path, known: int) -> tuple[list[dict[str, Any]], int]:
    """Read the complete lines of JSON after the first ``known`` bytes of ``log``; return also how many bytes were read.

    The file is opened each time, because a run replaces it when it begins.
    """
    if not log.exists() or log.stat().st_size == known:
        return [], known
    with log.open("rb") as file:
        file.seek(known)
        whole = file.read().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()], known + len(whole) + bool(whole)


def held(pid: int) -> float:
    """Peak memory in MiB of a process and the processes that it started; shared pages are counted for each."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0.0  # it has ended
    own = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)
    return own + sum(held(int(child)) for child in children)
