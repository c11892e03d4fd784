"""A run whose engines and workers join and leave while it trains: its weights are those of fixed numbers."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import tomli_w
from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 300.0
SETTINGS: dict[str, Any] = {
    "environments": [{"use": "arithmetic", "group_size": 4, "config": {"digits": 1}}],
    "model": {"context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"engines": 2, "workers": 2, "slots": 16, "sampling": {"max_tokens": 4}},
    "warm_start": {"steps": 30, "batch": 16, "lr": 1e-2, "every": 30},
    "trainer": {"prompts": 4, "lr": 3e-3, "steps": 60, "checkpoint_every": 1000},
    "eval": {"every": 1000, "tasks": 4},
    "logging": {"sinks": []},
}


def write_config(folder: Path, name: str, **tables: dict[str, Any]) -> Path:
    rollout = {**SETTINGS["rollout"], **tables.pop("rollout", {})}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps({**SETTINGS, "rollout": rollout, **tables, "name": name, "out": str(folder)}))
    return path


def lachesis(output: Path, *words: object) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "lachesis.commands.cli", *map(str, words)]
    with output.open("wb") as file:
        return subprocess.Popen(call, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=subprocess.STDOUT)


def weights_of(run: Path) -> str:
    newest = sorted(run.glob("checkpoints/step-*/*.safetensors"))[-1]
    return hashlib.sha256(newest.read_bytes()).hexdigest()


class Watched:
    """A run that is watched by its files and its output."""

    def __init__(self, folder: Path, name: str, **tables: dict[str, Any]) -> None:
        self.run, self.output = folder / f"{name}-1", folder / f"{name}.txt"
        self.process = lachesis(self.output, "train", write_config(folder, name, **tables))

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.run / name
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def states(self, kind: str, number: int) -> list[str]:
        return [line["state"] for line in self.lines("events.jsonl") if line.get(kind) == number and "was" in line]

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert self.process.poll() is None, self.output.read_text()[-3000:]
            assert time.monotonic() < end, self.output.read_text()[-3000:]
            time.sleep(0.1)

    def until_step(self, step: int) -> None:
        self.until(lambda: self.step >= step)

    @property
    def step(self) -> int:
        return max((line["step"] for line in self.lines("metrics.jsonl")), default=0)

    def until_said(self, what: str, times: int = 1) -> None:
        """Until the output has said so of the second engine and of the second worker."""
        lines = [f"{name} {what}" for name in ("engine 1", "environment worker 1")]
        self.until(lambda: all(self.output.read_text().count(line) >= times for line in lines))

    def control(self, *words: str) -> None:
        output = self.output.with_suffix(".control")
        assert lachesis(output, "control", self.run, *words).wait(PATIENCE) == 0, output.read_text()

    def ended(self) -> None:
        assert self.process.wait(PATIENCE) == 0, self.output.read_text()[-3000:]


SEATS = (("engine", 1), ("worker", 1))


@pytest.fixture
def watched() -> Iterator[Callable[..., Watched]]:
    """Starts runs, and ends those that are left over."""
    made: list[Watched] = []

    def start(*arguments: Any, **tables: dict[str, Any]) -> Watched:
        made.append(Watched(*arguments, **tables))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One node with room for one engine and one worker."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def announce_end(cluster: Cluster, node: Any, seconds: int) -> None:
    """Do what the hook of a spot node does."""
    words = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    words += ["--address", cluster.address, "--node-id", node.node_id, "--deadline-remaining-seconds", str(seconds)]
    subprocess.run([Path(sys.executable).parent / "ray", "drain-node", *words], check=True, timeout=PATIENCE)


def test_a_run_that_grew_lost_a_node_it_was_warned_of_and_one_it_was_not_has_the_weights_of_fixed_numbers(
    tmp_path: Path, cluster: Cluster, watched: Callable[..., Watched]
) -> None:
    alone = watched(tmp_path, "alone", rollout={"inline": True})
    alone.ended()
    table = {"address": cluster.address, "engines": {"min": 1}, "workers": {"min": 1}}
    run = watched(tmp_path, "both", cluster=table)
    run.until_step(1)
    assert "has joined the run" not in run.output.read_text()  # there is no room for more
    run.control("pause")
    spot = cluster.add_node(num_cpus=2)
    run.until_said("has joined the run")
    run.control("resume")
    run.until_step(run.step + 2)
    announce_end(cluster, spot, seconds=120)
    run.until_said("gets no new work")
    run.control("pause")
    run.until_said("leaves its node")
    run.until(lambda: spot.node_id not in alive(cluster))  # long before its time: nothing runs there any more
    other = cluster.add_node(num_cpus=2)
    run.until_said("is back")
    run.control("resume")
    run.until_step(run.step + 2)
    cluster.remove_node(other)  # with SIGKILL
    run.ended()
    assert weights_of(run.run) == weights_of(alone.run)
    for seat in SEATS:
        states = run.states(*seat)
        assert states[:3] == ["restarting", "stale", "healthy"]
        assert states.count("draining") == 1
        assert states.count("dead") == 2
    made = Counter(line["worker"] for line in run.lines("events.jsonl") if line["event"] == "worker")
    assert set(made) == {0, 1}
    assert not [line for line in run.lines("events.jsonl") if line["event"] == "failed"]


def alive(cluster: Cluster) -> set[str]:
    if not ray.is_initialized():
        ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
