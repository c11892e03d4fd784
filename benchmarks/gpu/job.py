"""A whole run from the command line: Ray, the engine and the trainer on one card learn the sums of the main job."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .policies import engine_name, vllm_options
from .row import Mark, Row
from .sizes import Sizes

CONFIG = Path(__file__).parents[2] / "configs" / "arithmetic.toml"


def rows(sizes: Sizes, _model: str) -> Iterator[Row]:
    """Run it, with its progress on the screen, and read its summary."""
    engine, on_gpu = engine_name(sizes), sizes.device == "cuda"
    settings = {
        "model.dtype": sizes.dtype,
        "rollout.engine": engine,
        "rollout.engines": 1,
        "rollout.gpus_per_engine": int(on_gpu),
        "trainer.device": sizes.device,
        **sizes.job,
    }
    if on_gpu:
        options = vllm_options(0.3, eager=True)
        settings |= {f"rollout.engine_options.{name}": json.dumps(value) for name, value in options.items()}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lachesis.commands.cli", "train", str(CONFIG), "--out", folder, *words]
        subprocess.run(command, check=True)
        run = Path(folder) / "arithmetic-1"
        summary = json.loads((run / "summary.json").read_text())
        steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in steps if row["step"] > 0]
    details = {
        name: summary[name] for name in ("engine", "warm_start_steps", "steps", "wall_s", "mismatch_kl", "phases")
    }
    what = f"a run on Ray with {engine}, held out after {summary['steps']} steps"
    yield Row(
        what, summary["heldout_final"], "", summary["heldout_start"], "its start", Mark("≥", 0.9), details=details
    )
    yield Row("its steps, median", median(row["time/step"] for row in steps), "s")
