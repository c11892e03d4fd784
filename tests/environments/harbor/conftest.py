"""Folders of tasks in Harbor's format."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lachesis.verifiers.sandbox.job import Level
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import configure_sandbox, shared_sandbox

MakeTask = Callable[..., Path]
TEST = """#!/bin/bash
if python3 /tests/check.py; then echo 1 > /logs/verifier/reward.txt; else echo 0 > /logs/verifier/reward.txt; fi
"""
CHECK = """import json
assert json.load(open("/app/out.json")) == sorted(json.load(open("/app/numbers.json")))
"""
FILES = {
    "task.toml": 'schema_version = "1.4"\nartifacts = ["/app/out.json"]\n[verifier]\nenvironment_mode = "separate"\n',
    "instruction.md": "Sort /app/numbers.json into /app/out.json.\n",
    "environment/Dockerfile": "FROM ubuntu:24.04\n# data\nWORKDIR /app\nCOPY numbers.json ./\nENV A=b\n",
    "environment/numbers.json": "[3, 1, 2, 40, 7, 1000000, 12]",
    "tests/test.sh": TEST,
    "tests/check.py": CHECK,
    "solution/solve.sh": "#!/bin/bash\n"
    "python3 -c \"import json; json.dump(sorted(json.load(open('/app/numbers.json'))), open('/app/out.json', 'w'))\"\n",
}


@pytest.fixture(scope="session", autouse=True)
def _sandbox() -> Iterator[None]:
    if sys.platform != "linux":
        pytest.skip("the process sandbox needs Linux")
    configure_sandbox(SandboxSettings(backend="process", require="contained"))
    if shared_sandbox().level < Level.STRONG:
        pytest.skip("a program that starts others needs a sandbox of level strong")
    yield
    configure_sandbox(SandboxSettings())


def write_task(folder: Path, files: Mapping[str, str], changes: Mapping[str, str | None]) -> Path:
    """Write a task of ``files`` with some of them changed, where ``__`` stands for a slash, or left out if None."""
    for file, text in {**files, **{key.replace("__", "/"): value for key, value in changes.items()}}.items():
        if text is not None:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
    return folder


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Writes a task; a file that is None is left out."""

    return lambda name="sort", **changes: write_task(tmp_path / "tasks" / name, FILES, changes)
