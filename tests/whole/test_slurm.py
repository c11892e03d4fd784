"""The recipes for Slurm on a cluster of three slurmd on this machine: scancel, requeue, and nodes of two kinds."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG = """
environments = [{ use = "arithmetic", group_size = 2 }]
model = { context = 64, tiny = { hidden = 16, layers = 1 } }
rollout = { engines = 1, workers = 1, slots = 8, sampling = { max_tokens = 3 } }
warm_start = { steps = 0 }
trainer = { steps = 1_000_000, prompts = 2, checkpoint_every = 1_000_000 }
eval = { every = 0, tasks = 2 }
"""
ON_ONE_CPU = ("--nodes=2", "--cpus-per-task=1", "--time=60")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
        reason="Slurm on one machine needs root, slurmctld, slurmd, slurm-client and munge",
    ),
]


class Slurm:
    """A terminal on the cluster, in a folder with ``run.toml``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._environment = folder, environment

    def __call__(self, *command: str) -> str:
        """The output of a command, which succeeds."""
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, recipe: str, *options: str, settings: tuple[str, ...] = ()) -> str:
        """Give a recipe to ``sbatch``; return the number of the job."""
        script = str(ROOT / "recipes" / recipe)
        return self("sbatch", "--parsable", *options, script, "run.toml", *settings).strip()

    def fact(self, job: str, name: str) -> str:
        """What ``scontrol`` says of a job."""
        found = re.search(rf"\b{name}=(\S+)", self("scontrol", "show", "job", job))
        assert found
        return found[1]

    def steps(self, run: str) -> int:
        """The last step that a run has logged; 0 before the first."""
        file = self.folder / "runs" / run / "metrics.jsonl"
        rows = file.read_text().splitlines() if file.exists() else []
        return max((json.loads(row)["step"] for row in rows), default=0)

    def saved(self, run: str) -> int:
        """The step of the newest checkpoint of a run."""
        return max(int(path.name[5:]) for path in (self.folder / "runs" / run / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "run.toml").write_text(CONFIG)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = min(listener.getsockname()[1], 65000)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PORT": str(port)}
    environment["PYTHONPATH"] = str(ROOT / "src")
    command = [str(ROOT / "scripts" / "one_machine_slurm.sh"), "bash", "-c", "echo $SLURM_CONF; exec cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as started:
        assert started.stdin
        assert started.stdout
        settings = started.stdout.readline().strip()
        assert settings, "the cluster did not start"
        yield Slurm(folder, {**environment, "SLURM_CONF": settings})
        started.stdin.close()  # which ends cat, and the cluster with it


def test_tasks_of_an_array_write_a_checkpoint_when_they_are_stopped_and_continue_when_they_are_requeued(
    slurm: Slurm,
) -> None:
    job = slurm.submit("slurm-array.sh", "--array=0-1", *ON_ONE_CPU)
    runs = [f"{job}/seed-{seed}-1" for seed in (0, 1)]
    wait_for(lambda: all(slurm.steps(run) >= 3 for run in runs), 900)

    slurm("scancel", "--batch", "--signal=TERM", f"{job}_0")
    wait_for(lambda: slurm.fact(f"{job}_0", "JobState") == "FAILED", 300)
    assert slurm.fact(f"{job}_0", "ExitCode") == "130:0"
    assert slurm.saved(runs[0]) == slurm.steps(runs[0]) >= 3

    slurm("scontrol", "requeue", f"{job}_1")
    wait_for(lambda: slurm.fact(f"{job}_1", "JobState") == "RUNNING" and slurm.fact(f"{job}_1", "Restarts") == "1", 600)
    stopped_at = slurm.saved(runs[1])
    assert stopped_at >= 3
    wait_for(lambda: slurm.steps(runs[1]) > stopped_at, 900)
    slurm("scancel", "--batch", "--signal=TERM", f"{job}_1")
    wait_for(lambda: slurm.fact(f"{job}_1", "JobState") == "FAILED", 300)
    rows = (slurm.folder / "runs" / runs[1] / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert steps == sorted(set(steps)), "no step is there twice"


def test_a_run_on_nodes_of_two_kinds_has_its_engine_on_one_and_its_worker_on_the_other(slurm: Slurm) -> None:
    first, second = ("--nodes=1", "--cpus-per-task=2", "--gpus-per-node=2"), ("--nodes=1", "--cpus-per-task=1")
    settings = ("--trainer.steps", "3")
    job = slurm.submit("slurm-heterogeneous.sh", *first, "--time=60", ":", *second, settings=settings)
    wait_for(lambda: slurm.fact(job, "JobState") not in ("PENDING", "RUNNING", "COMPLETING"), 900)
    assert slurm.fact(job, "JobState") == "COMPLETED"
    assert slurm.steps(f"job-{job}-1") == 3
    said = (slurm.folder / f"lachesis-{job}.log").read_text()
    assert "kind=gpu" in said
    assert "kind=cpu" in said


def wait_for(reached: Callable[[], bool], seconds: float) -> None:
    """Wait until ``reached()``."""
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, "it took too long"
        time.sleep(1)
