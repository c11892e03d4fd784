"""A whole run from the command line: Ray, the engine and the trainer on one card learn the sums of the main job."""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import tomli_w

from .policies import engine_name, on_one_card
from .row import Mark, Row
from .sizes import Sizes

CONFIG = Path(__file__).parents[2] / "configs" / "arithmetic.toml"
KEPT = ("warm_start_steps", "steps", "wall_s", "mismatch_kl", "phases")


def rows(sizes: Sizes, _model: str) -> Iterator[Row]:
    """Run it, with its progress on the screen, and read its summary."""
    engine = engine_name(sizes)
    changed = {
        "model": {"dtype": sizes.dtype},
        "rollout": {"engine": engine, "engines": 1, **on_one_card(sizes, engine, 0.3, eager=True)},
        "trainer": {"device": sizes.device},
    }
    config = tomllib.loads(CONFIG.read_text())
    for settings in (changed, sizes.job):
        for part, values in settings.items():
            config[part] |= values
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.toml"
        path.write_text(tomli_w.dumps({**config, "name": "job", "out": folder}))
        subprocess.run([sys.executable, "-m", "lachesis.commands.cli", "train", str(path)], check=True)
        summary = json.loads((Path(folder) / "job-1" / "summary.json").read_text())
        steps = [json.loads(line) for line in (Path(folder) / "job-1" / "metrics.jsonl").read_text().splitlines()]
    taken = [row["time/step"] for row in steps if row["step"] > 0]
    what = f"a run on Ray with {engine}, held out after {summary['steps']} steps"
    details = {name: summary[name] for name in KEPT}
    start, end = summary["heldout_start"], summary["heldout_final"]
    yield Row(what, end, "", start, "its start", Mark("≥", 0.9), details=details)
    yield Row("a run on Ray, median step", median(taken), "s", details={"seconds of each step": taken})
