"""The tutorial, line by line: files are written, commands run, and what it shows of their output is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which ``lachesis`` and ``pytest`` are those of this interpreter."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}


SMALL = " --warm_start.steps 4 --warm_start.batch 8 --trainer.prompts 2 --eval.tasks 8"


@pytest.mark.parametrize(
    "training", [pytest.param("", id="as it stands", marks=pytest.mark.slow), pytest.param(SMALL, id="small")]
)
def test_every_line_of_the_tutorial_runs(tmp_path: Path, path: dict[str, str], training: str) -> None:
    said, files, commands, shown = "", set(), 0, 0
    for language, text in BLOCK.findall(TUTORIAL.read_text()):
        if language == "bash":
            said = ""
            for line in text.splitlines():
                code = int((re.findall(r"# exit code (\d)", line) or [0])[0])
                line += training if line.startswith("lachesis train") else ""
                done = subprocess.run(
                    line, shell=True, cwd=tmp_path, env=path, capture_output=True, text=True, timeout=280, check=False
                )
                assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
                said += done.stdout
                commands += 1
        elif language == "text":
            for line in text.splitlines():
                assert re.search(r"\s+".join(map(re.escape, line.split())), said), f"{line!r} is not in\n{said}"
                shown += 1
        else:
            name = text.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[\w.]+", name), f"a {language} block that names no file: {name!r}"
            (tmp_path / name).write_text(text)
            files.add(name)
    assert files == {"swap.py", "test_swap.py", "swap.toml", "pyproject.toml"}
    assert (commands, shown) == (11, 10)
    rows = (tmp_path / "runs" / "swap-1" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) > 20
