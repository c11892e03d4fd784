"""A real ``atroposlib`` environment, in a Python of its own, trains the tiny model through the service."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

PYTHON = os.environ.get("LACHESIS_ATROPOS_PYTHON", "")
PROGRAM = Path(__file__).with_name("atropos_backwards.py")
TASKS = '''"""The same tasks, for the warm start and the held-out evaluation; none of its groups is trained."""
import random
from lachesis import Environment, Rubric, Task, use

class Backwards(Environment):
    """A word to be written backwards."""
    rubric = Rubric(use("exact"), success="exact")

    def tasks(self, split, seed):
        """Three letters."""
        rng = random.Random(seed)
        for _ in range(10**9 if split == "train" else 200):
            word = "".join(rng.choices("abcdefgh", k=3))
            if (sum(map(ord, word)) % 10 == 0) == (split == "test"):
                yield Task(f"{word}>", answer=word[::-1])
'''

pytestmark = pytest.mark.skipif(not PYTHON, reason="atroposlib is not installed: make atropos")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def serve(port: int, tokenizer: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the environment as its users do."""
    url = f"http://127.0.0.1:{port}"
    options = {
        "env.rollout_server_url": url,
        "env.tokenizer_name": tokenizer,
        "env.group_size": 8,
        "env.total_steps": 10_000,
        "env.max_token_length": 32,
        "env.max_num_workers": 48,
        "env.max_batches_offpolicy": 2,
        "env.use_wandb": "false",
        "env.wandb_name": "backwards",
        "openai.base_url": f"{url}/v1",
        "openai.model_name": "policy",
        "openai.server_type": "vllm",
        "openai.tokenizer_name": tokenizer,
        "openai.api_key": "x",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environ.pop("PYTHONPATH", None)
    command = [PYTHON, str(PROGRAM), "serve", "--slurm", "false", *words]
    return subprocess.Popen(command, env=environ, cwd=log.parent, stdout=log.open("wb"), stderr=subprocess.STDOUT)


def settings(out: Path, port: int, tasks: Path) -> dict[str, Any]:
    return {
        "name": "atropos",
        "out": str(out),
        "environments": [
            {"use": "service", "group_size": 8, "config": {"port": port, "patience": 300.0}},
            {"use": str(tasks), "label": "backwards", "group_size": 8, "weight": 1e-9},
        ],
        "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 64}},
        "rollout": {"inline": True, "slots": 256, "sampling": {"max_tokens": 4}},
        "warm_start": {"steps": 500, "batch": 32, "lr": 2e-3, "target": 0.4, "every": 5},
        "trainer": {"steps": 100, "prompts": 16, "lr": 1e-3, "warmup": 5},
        "eval": {"every": 5, "tasks": 100, "stop_at": 0.9},
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_environment_of_the_real_base_env_trains_the_tiny_model_to_a_held_out_threshold(tmp_path: Path) -> None:
    tasks = tmp_path / "backwards.py"
    tasks.write_text(TASKS)
    port = free_port()
    config = tmp_path / "config.toml"
    config.write_text(tomli_w.dumps(settings(tmp_path, port, tasks)))
    run = tmp_path / "atropos-1"
    command = [sys.executable, "-m", "lachesis.commands.cli", "train", str(config)]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(tmp_path / "errors").open("wb"))
    while not (run / "model" / "tokenizer_config.json").exists():
        assert job.poll() is None, (tmp_path / "errors").read_text()[-2000:]
        time.sleep(0.2)
    environment = serve(port, run / "model", tmp_path / "environment.log")
    try:
        assert job.wait(timeout=800) == 0, (tmp_path / "errors").read_text()[-2000:]
    finally:
        environment.kill()
        environment.wait()
    summary = json.loads((run / "summary.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert summary["heldout_start"] < 0.7, "the warm start alone must not be what reaches the goal"
    assert summary["heldout_final"] >= 0.9
    last = rows[-1]
    assert last["mixture/service/admitted"] == 1.0, "only the service's groups were trained"
    assert last["service/service/exact"] > 0
    assert last["service/service/unprovable"] == 0
