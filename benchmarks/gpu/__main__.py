"""``make gpu``: measures trainer, engines and a whole run on one GPU, and prints one table with a mark for each row.

Each part runs in a process of its own with a deadline, so that one that crashes or hangs is a row of the table, and the
others go on. ``make gpu ARGS="trainer job"`` chooses parts. ``SMALL=1`` runs the same code with tiny sizes, also on a
machine without a GPU. ``OUT`` is the folder of the JSON file.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .._table import new_console, new_table, rounded
from . import sizes
from .model import MACHINE
from .row import failed

MODEL = 90.0
"""The most seconds that the model may take to be made."""
PARTS = {"trainer": 100.0, "sharing": 120.0, "transports": 120.0, "engine": 200.0, "job": 240.0}
"""The parts in their order, with the most seconds that each may take."""
MORE = {"compile": 240.0}
"""Parts that run only if they are chosen, because there is no time for them beside the others."""
TOGETHER = 470.0
"""The most seconds that everything may take."""
ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Measure the chosen parts, all by default; return the exit code, which is 1 if a mark was missed."""
    small = sizes.chosen().small
    deadlines = PARTS | MORE
    if unknown := [word for word in words if word not in deadlines]:
        print(f"make gpu has no part {unknown[0]!r}; the parts are {', '.join(deadlines)}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available() and not small:
        print("make gpu: torch finds no GPU here, so nothing is measured; SMALL=1 runs the same code on the CPU")
        return 0
    report = Path(os.environ.get("OUT") or "runs") / "gpu.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    found: Json = {"small": small, "seconds": {}, "rows": []}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        python = [sys.executable, "-m"]
        found["rows"] += run_part("model", [*python, f"{__package__}.model", folder], MODEL, small)
        if not found["rows"]:
            found |= json.loads((Path(folder) / MACHINE).read_text())
            for name in words or PARTS:
                begun = time.perf_counter()
                print(f"{begun - start:4.0f} s: {name}", flush=True)
                left = min(deadlines[name], TOGETHER - (begun - start))
                found["rows"] += run_part(name, [*python, f"{__package__}.part", name, folder], left, small)
                found["seconds"][name] = round(time.perf_counter() - begun, 1)
                report.write_text(json.dumps(found, indent=1))  # after each part, in case that all of this is ended
    report.write_text(json.dumps(found, indent=1))
    show(found)
    print(f"{found.get('device', '')}: {time.perf_counter() - start:.0f} s; all figures are in {report}")
    return int(any(row["passed"] is False for row in found["rows"]))


def run_part(name: str, command: Sequence[str], seconds: float, small: bool) -> list[Json]:
    """The rows that ``command`` appends to the file that is its last argument, and one more if it did not end well."""
    if seconds <= 0:
        return [failed(name, f"not begun: the {TOGETHER:.0f} s for all parts were over").to_json(small)]
    problem = ""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([*command, file.name], cwd=ROOT, env=environment, start_new_session=True)
        try:
            if code := process.wait(seconds):
                problem = f"crashed with exit code {code}"
        except subprocess.TimeoutExpired:
            problem = f"ended after {seconds:.0f} s, its deadline"
        finally:
            end(process)
        rows = [json.loads(line) for line in file.read().splitlines()]
    return [*rows, *([failed(name, problem).to_json(small)] if problem else [])]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started; Ray's own processes end with the one that started them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def show(found: Json) -> None:
    """Print the table."""
    console, words = new_console(), {True: "pass", False: "FAIL", None: ""}
    table = new_table("measured", "figure", "unit", "beside", "ratio", "mark", "")
    table.columns[0].no_wrap = False
    for row in found["rows"]:
        name = row["what"] + (f", against {row['against']}" if row["beside"] is not None else "")
        name = f"{row['what']}: {row['problem'] or row['against']}" if row["figure"] is None else name
        figures = [None if row[key] is None else rounded(row[key]) for key in ("figure", "beside", "ratio")]
        table.add_row(name, figures[0], row["unit"], *figures[1:], row["mark"], words[row["passed"]])
    console.print(table)
    if found["small"]:
        console.print("The small sizes run the code only: marks of speed are not judged.", style="dim")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
