"""recipes/job-submit.sh against Ray's job server: a run is submitted, stopped with a checkpoint, and continued."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = os.environ.get("LACHESIS_RAY_DEFAULT_PYTHON", "")
CONFIG = """
environments = [{ use = "arithmetic", group_size = 2 }]
model = { context = 64, tiny = { hidden = 16, layers = 1 } }
rollout = { engines = 1, workers = 1, slots = 8, sampling = { max_tokens = 3 } }
warm_start = { steps = 0 }
trainer = { steps = 1_000_000, prompts = 2, checkpoint_every = 1_000_000 }
eval = { every = 0, tasks = 2 }
"""

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="LACHESIS_RAY_DEFAULT_PYTHON is not set: a Python with Lachesis and ray[default]"
    ),
]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a terminal in which the recipe can be called, while a cluster with a dashboard runs."""
    ports = free_ports(3)
    folder = f"/tmp/lachesis-ray-{os.getpid()}"  # short, because the paths of sockets are
    path = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    (tmp_path / "home").mkdir()
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(tmp_path / "home"),
        "RAY_AUTH_MODE": "token",
        "ADDRESS": f"http://127.0.0.1:{ports[1]}",
        "OUT": str(tmp_path / "runs"),
    }
    subprocess.run(["ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
    head = ["ray", "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=4", f"--port={ports[0]}"]
    head += [f"--dashboard-port={ports[1]}", "--include-dashboard=true", f"--temp-dir={folder}"]
    head += [f"--ray-client-server-port={ports[2]}"]
    with (tmp_path / "head.log").open("w") as log:
        started = subprocess.Popen(
            [*head, "--object-store-memory=100000000"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: started.poll() is not None or ray(environment, "list").returncode == 0, 300)
        assert started.poll() is None, (tmp_path / "head.log").read_text()
        yield environment
    finally:
        started.terminate()
        started.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_job_is_stopped_with_a_checkpoint_and_continued(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "run.toml").write_text(CONFIG)
    run = tmp_path / "runs" / "run-1"
    first = submit(environment, work)
    wait_for(lambda: steps_of(run) >= 3, 900)
    assert "was stopped" in ray(environment, "stop", first).stdout
    logs = ray(environment, "logs", first).stdout
    saved = re.search(r"lachesis: stopped; last checkpoint: \S+/step-0*(\d+);", logs)
    assert saved, logs
    assert int(saved[1]) == steps_of(run) >= 3

    second = submit(environment, work, "--resume", str(run), "--trainer.steps", str(int(saved[1]) + 2))
    wait_for(lambda: "succeeded" in ray(environment, "status", second).stdout, 900)
    assert steps_of(run) == int(saved[1]) + 2


def submit(environment: dict[str, str], folder: Path, *options: str) -> str:
    """Call the recipe in ``folder``; return the name of the job."""
    command = ["bash", str(ROOT / "recipes" / "job-submit.sh"), "run.toml", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"raysubmit_\w+", done.stdout + done.stderr)
    assert found
    return found[0]


def ray(environment: dict[str, str], command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call ``ray job COMMAND``; its standard output has both streams."""
    words = ["ray", "job", command, f"--address={environment['ADDRESS']}", *arguments]
    return subprocess.run(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
    )


def steps_of(run: Path) -> int:
    """The last step that the run has logged; 0 before the first."""
    rows = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return max((json.loads(row)["step"] for row in rows), default=0)


def wait_for(reached: Callable[[], bool], seconds: float) -> None:
    """Wait until ``reached()``."""
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, "it took too long"
        time.sleep(1)


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on."""
    with ExitStack() as closing:
        listeners = [closing.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
