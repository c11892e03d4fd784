"""A tiny model is trained by demonstration to write skills that help it later."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).with_name("skills.toml")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_tiny_model_learns_by_demonstration_to_write_skills_that_help(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lachesis.commands.cli", "train", str(CONFIG), "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=3500)
    rows = [json.loads(line) for line in (tmp_path / "skills-1" / "metrics.jsonl").read_text().splitlines()]
    held_out = [row for row in rows if "heldout/accuracy" in row]
    for metric in ("heldout/accuracy", "heldout/score/helped"):
        assert held_out[0][metric] < 0.1
        assert held_out[-1][metric] > 0.3
