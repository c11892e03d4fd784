"""``lachesis runs`` says of each run whether it is alive, how far it came and whether it can be resumed."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Write = Callable[..., Path]
Run = Callable[..., Any]


def test_a_run_is_running_stopped_or_ended(tmp_path: Path, write_run: Write, lachesis_here: Run) -> None:
    rows = [{"step": 1, "heldout/accuracy": 0.75}, {"step": 2, "heldout/accuracy": 0.5}]
    for name in ("ended", "stopped", "running", "lost"):
        write_run(tmp_path / "runs" / name, {}, rows)
    (tmp_path / "runs" / "ended" / "summary.json").write_text('{"steps": 2}')
    checkpoint = tmp_path / "runs" / "stopped" / "checkpoints" / "step-000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    with (tmp_path / "runs" / "running" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = lachesis_here("runs", cwd=tmp_path)
        found = lachesis_here("runs", "runs", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("runs/")}
    assert set(lines) == {"runs/ended", "runs/stopped", "runs/running", "runs/lost"}
    assert "stopped, can be resumed" in lines["runs/stopped"]
    assert "resumed" not in lines["runs/lost"]
    assert "running" in lines["runs/running"]
    assert "2/2" in lines["runs/ended"]
    assert "0.750  0.500" in lines["runs/ended"]
    assert "lachesis train --resume RUN" in done.stdout
    states = {row["name"]: row["state"] for row in map(json.loads, found.stdout.splitlines())}
    assert states == {"ended": "ended", "stopped": "stopped", "running": "running", "lost": "stopped"}


def test_a_folder_without_runs_says_how_to_make_one(
    tmp_path: Path, lachesis_here: Run, refused: Callable[..., None]
) -> None:
    (tmp_path / "runs").mkdir()
    assert "lachesis train CONFIG makes one" in lachesis_here("runs", cwd=tmp_path).stdout
    refused(lachesis_here("runs", "nowhere", cwd=tmp_path), "nowhere does not exist")
