"""A run on Ray whose engines hold few requests: groups are held back, and its weights are those of one process."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from ..command_line import run_lachesis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS: dict[str, Any] = {
    "environments": [{"use": "arithmetic", "group_size": 8, "config": {"digits": 1}}],
    "model": {"context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"engines": 2, "workers": 2, "slots": 4, "sampling": {"max_tokens": 4}},
    "warm_start": {"steps": 30, "batch": 16, "lr": 1e-2, "every": 30},
    "trainer": {"prompts": 16, "lr": 3e-3, "steps": 6},
    "eval": {"every": 1000, "tasks": 4},
    "logging": {"sinks": []},
}


def test_groups_that_the_engines_have_no_room_for_are_held_back_and_the_weights_stay(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(tomli_w.dumps(SETTINGS))
    weights = []
    for name, words in {"ray": [], "inline": ["--inline"]}.items():
        ended = run_lachesis("train", "run.toml", "--name", name, *words, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        [newest] = (tmp_path / "runs" / f"{name}-1" / "checkpoints" / "step-000006").glob("*.safetensors")
        weights.append(hashlib.sha256(newest.read_bytes()).hexdigest())
    assert weights[0] == weights[1]
    rows = [json.loads(line) for line in (tmp_path / "runs" / "ray-1" / "metrics.jsonl").read_text().splitlines()]
    held = [row["rate/attempts_held"] for row in rows if row["step"] > 0]  # of a step's 128 attempts, for 8 slots
    assert min(held) >= 64
