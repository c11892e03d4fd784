"""A real ``atroposlib`` environment, in a Python of its own, trains the tiny model on sums through the service."""

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lachesis.environments.shipped.arithmetic import Arithmetic

from ..ports import free_port

PYTHON = os.environ.get("LACHESIS_ATROPOS_PYTHON", "")
PROGRAM = Path(__file__).with_name("atropos_sums.py")
MAIN_JOB = Path(__file__).resolve().parents[2] / "configs" / "arithmetic.toml"

pytestmark = pytest.mark.skipif(not PYTHON, reason="atroposlib is not installed: make atropos")


def serve(port: int, tokenizer: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start the environment as its users do."""
    url = f"http://127.0.0.1:{port}"
    options = {
        "env.rollout_server_url": url,
        "env.tokenizer_name": tokenizer,
        "env.group_size": 8,
        "env.total_steps": 10_000,
        "env.max_token_length": 64,
        "env.max_num_workers": 64,
        "env.max_batches_offpolicy": 1,
        "env.use_wandb": "false",
        "env.wandb_name": "sums",
        "openai.base_url": f"{url}/v1",
        "openai.model_name": "policy",
        "openai.server_type": "vllm",
        "openai.tokenizer_name": tokenizer,
        "openai.api_key": "x",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HELD_OUT": str(folder / "held_out.json")}
    environ.pop("PYTHONPATH", None)
    command = [PYTHON, str(PROGRAM), "serve", "--slurm", "false", *words, *more]
    with (folder / "environment.log").open("wb") as log:
        return subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def settings(out: Path, port: int) -> dict[str, Any]:
    """The main job, but its own environment only warms the model up and evaluates it; Atropos' gives the groups."""
    job = tomllib.loads(MAIN_JOB.read_text())
    (sums,) = job["environments"]
    service = {"use": "service", "group_size": 8, "config": {"port": port, "patience": 300.0}}
    return job | {
        "name": "atropos",
        "out": str(out),
        "environments": [service, {**sums, "weight": 1e-9}],
        "rollout": {**job["rollout"], "inline": True},
    }


def listens(run: Path) -> bool:
    """Whether the service is there: an environment that does not reach it ends."""
    log = run / "log"
    return log.exists() and "connect to http" in log.read_text()


def train(folder: Path, *more: str, **overrides: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary and the metrics of a run that the environment feeds."""
    held_out = [task.messages[0]["content"] for task in Arithmetic().tasks("test", 0)]
    (folder / "held_out.json").write_text(json.dumps(held_out))
    port = free_port()
    values = settings(folder, port)
    for part, changes in overrides.items():
        values[part] = {**values[part], **changes}
    config, run = folder / "config.toml", folder / "atropos-1"
    config.write_text(tomli_w.dumps(values))
    command = [sys.executable, "-m", "lachesis.commands.cli", "train", str(config)]
    with (folder / "errors").open("wb") as errors:
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    processes = [job]
    try:
        while not listens(run):
            assert job.poll() is None, (folder / "errors").read_text()[-2000:]
            time.sleep(0.2)
        processes.append(serve(port, run / "model", folder, *more))
        assert job.wait() == 0, (folder / "errors").read_text()[-2000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["mixture/service/admitted"] == 1.0, "only the service's groups were trained"
    assert rows[-1]["service/service/exact"] > 0
    assert rows[-1]["service/service/unprovable"] == 0
    return json.loads((run / "summary.json").read_text()), rows


@pytest.mark.timeout(300)
def test_an_environment_of_the_real_base_env_feeds_a_trainer(tmp_path: Path) -> None:
    """The short version; an untaught model's groups are all wrong, which the environment is told to post."""
    summary, rows = train(
        tmp_path,
        *("--env.ensure_scores_are_not_same", "false"),
        model={"tiny": {"hidden": 32, "layers": 1}},
        warm_start={"steps": 1},
        trainer={"steps": 2, "prompts": 2},
        eval={"every": 2, "tasks": 20},
    )
    assert summary["steps"] == 2
    assert all(row["tokens/sampled"] and "tokens/forced" not in row for row in rows if row["step"] > 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sums_of_the_real_base_env_train_the_tiny_model_to_a_held_out_threshold(tmp_path: Path) -> None:
    summary, _ = train(tmp_path)
    assert summary["heldout_start"] < 0.7, "the warm start alone must not be what reaches the goal"
    assert summary["heldout_final"] >= 0.9
