"""The tutorials, line by line: files are written, commands run, and what they show of their output is there."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .command_line import run_lachesis
from .ports import free_port

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PORT = "8765"
"""The port of the stand-in for a model server."""


@pytest.fixture
def path() -> dict[str, str]:
    """An environment in which ``lachesis``, ``python`` and ``pytest`` are those of this interpreter."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; what is started there and leaves its process id in a file ``*.pid`` is ended."""
    yield tmp_path
    for file in tmp_path.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def played(document: str, folder: Path, path: dict[str, str], small: dict[str, str]) -> tuple[set[str], int, int]:
    """Run a document; returns the files that it writes, and the numbers of its commands and of the lines that it shows.

    Args:
        document: its name in ``docs/``.
        folder: where it runs.
        path: the environment of its commands.
        small: the beginning of a command → further options, which make it shorter.
    """
    port = str(free_port())
    said, files, commands, shown = "", set(), 0, 0
    for language, text in BLOCK.findall((DOCS / document).read_text().replace(PORT, port)):
        if language == "bash":
            said = ""
            for line in text.splitlines():
                code = int((re.findall(r"# exit code (\d)", line) or [0])[0])
                line += "".join(options for begin, options in small.items() if line.startswith(begin))
                if line.startswith("lachesis ") and not re.search("[|&;<>$]", line):
                    done = run_lachesis(*shlex.split(line, comments=True)[1:], cwd=folder)
                else:
                    done = subprocess.run(
                        line, shell=True, cwd=folder, env=path, capture_output=True, text=True, timeout=280, check=False
                    )
                assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
                said += done.stdout + done.stderr
                commands += 1
        elif language == "text":
            for line in text.splitlines():
                assert re.search(r"\s+".join(map(re.escape, line.split())), said), f"{line!r} is not in\n{said}"
                shown += 1
        else:
            name = text.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[\w.]+", name), f"a {language} block that names no file: {name!r}"
            (folder / name).write_text(text)
            files.add(name)
    return files, commands, shown


SMALL = " --warm_start.steps 4 --warm_start.batch 8 --trainer.prompts 2 --eval.tasks 8"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "training", [pytest.param("", id="as it stands", marks=pytest.mark.slow), pytest.param(SMALL, id="small")]
)
def test_every_line_of_the_tutorial_runs(folder: Path, path: dict[str, str], training: str) -> None:
    files, commands, shown = played("tutorial.md", folder, path, {"lachesis train": training})
    assert files == {"swap.py", "test_swap.py", "swap.toml", "pyproject.toml"}
    assert (commands, shown) == (11, 10)
    rows = (folder / "runs" / "swap-1" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) > 20


ONE_DIGIT = {
    "lachesis train half": " --environments.0.config.digits 1 --model.tiny.hidden 32 --model.tiny.layers 1 "
    "--warm_start.steps 30 --warm_start.batch 16 --warm_start.lr 1e-2 --warm_start.every 30 --eval.tasks 20",
    "lachesis generate": " --config.digits 1 --tasks 30",
    "lachesis sft": " --environments.0.config.digits 1 --eval.tasks 20 --data.epochs 1 --data.batch 8",
}
"""Sums of one digit, which a smaller model guesses after a few steps."""


@pytest.mark.parametrize(
    ("small", "least"),
    [
        pytest.param({}, 0.1, id="as it stands", marks=pytest.mark.slow),
        pytest.param(ONE_DIGIT, -1.0, id="small"),
    ],
)
@pytest.mark.timeout(900)
def test_every_line_of_the_first_day_runs(
    folder: Path, path: dict[str, str], small: dict[str, str], least: float
) -> None:
    files, commands, shown = played("first-day.md", folder, path, small)
    assert len(files) == 14
    assert (commands, shown) == (23, 22)
    assert len((folder / "one.jsonl").read_text().splitlines()) == 89
    summary = json.loads((folder / "runs" / "sums-1" / "summary.json").read_text())
    assert summary["heldout_final"] >= summary["heldout_start"] + least
