"""A policy learns from all its calls in a walk: one writes a digit down, the next reads only what was written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

RELAY = """
from lachesis import Rubric, use
from lachesis.environments.forge.environment import ForgeEnvironment
from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.model_node import ModelNode
from lachesis.environments.forge.node import node


@node(takes={"digit": str}, gives={"reference": str})
def plan(record, rng):
    return {"reference": record["digit"]}


def call(name, takes, gives, prompt):
    return ModelNode(
        name=name, takes={takes: str}, gives={gives: str}, prompt=prompt, demonstration=lambda record: record[takes]
    )


class Relay(ForgeEnvironment):
    graph = Graph(
        name="relay",
        takes={"digit": str},
        gives={"instruction": str, "answer": str, "reference": str},
        nodes=[
            plan,
            call("write", "digit", "instruction", "w{digit}"),
            call("read", "instruction", "answer", "r{instruction}"),
        ],
        edges={"source": ["plan"], "plan": ["write"], "write": ["read"], "read": ["target"]},
    )
    rubric = Rubric(use("exact"), success="exact")

    def documents(self, split, seed):
        for digit in "0123456789":
            yield {"digit": digit}
"""
CONFIG = """
name = "relay"
environments = [{ use = "relay.py", group_size = 8 }]
model = { context = 32, tiny = { hidden = 64, layers = 1 } }
rollout = { inline = true, slots = 128, sampling = { max_tokens = 3 } }
warm_start = { steps = 48, batch = 32, lr = 2e-3, target = 1.0, every = 48 }
trainer = { steps = 30, prompts = 40, lr = 6e-4 }
eval = { every = 30, tasks = 10 }
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_calls_learn_to_pass_a_digit_on(tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text(RELAY)
    (tmp_path / "run.toml").write_text(CONFIG)
    words = [sys.executable, "-m", "lachesis.commands.cli", "train", "run.toml"]
    done = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "runs" / "relay-1" / "metrics.jsonl").read_text().splitlines()]
    rewards = [row["reward/total"] for row in rows if row["step"] > 0]
    print(f"sampled reward {fmean(rewards[:3]):.3f} to {fmean(rewards[-3:]):.3f} in {len(rewards)} steps")
    assert fmean(rewards[:3]) < 0.8
    assert fmean(rewards[-3:]) > fmean(rewards[:3]) + 0.1
