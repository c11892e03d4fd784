"""``lachesis sandbox``: what a job is given, what is shown of it, and the exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.author.sandbox import job_of, run_job, summary
from lachesis.verifiers.errors import ConfigError, DataError, InputError
from lachesis.verifiers.sandbox.backends import open_sandbox
from lachesis.verifiers.sandbox.job import MIB, Execution, Job, Usage
from lachesis.verifiers.sandbox.settings import SandboxSettings

LOW = SandboxSettings(backend="process", require="accident")

PROGRAM = """
import os, sys
print(sys.stdin.read().upper(), os.environ["COLOUR"], open("given.txt").read())
print("\\x1b[31mred", file=sys.stderr)
open("left.txt", "w").write("behind")
"""


@pytest.fixture(scope="module")
def here() -> None:
    try:
        open_sandbox(LOW).close()
    except ConfigError as error:
        pytest.skip(f"no process sandbox here: {error}")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "given.txt").write_text("given")
    (tmp_path / "read.txt").write_text("read")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def words(program: Path, *more: str) -> list[str]:
    folder = program.parent
    files = ["--stdin", str(folder / "read.txt"), "--file", str(folder / "given.txt"), "--env", "COLOUR=a=b"]
    lowest = ["--backend", "process", "--sandbox.require", "accident"]
    return [sys.executable, "-m", "lachesis.commands.cli", "sandbox", str(program), *files, *lowest, *more]


def test_everything_that_is_named_reaches_the_job(program: Path) -> None:
    folder = program.parent
    job = job_of(program, str(folder / "read.txt"), [folder / "given.txt"], ["A=b=c", "EMPTY="], 2.5, 64)
    assert job.code == PROGRAM
    assert (job.stdin, job.files, job.env) == (b"read", {"given.txt": b"given"}, {"A": "b=c", "EMPTY": ""})
    assert (job.limits.wall, job.limits.cpu, job.limits.memory) == (2.5, 2.5, 64 * MIB)
    assert job_of(program, "", [], [], None, None).limits == Job("").limits


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"env": ["COLOUR"]}, "--env takes NAME=VALUE, found 'COLOUR'"),
        ({"env": ["=red"]}, "is no environment variable"),
        ({"timeout": 0}, "'wall' is a number above 0, found 0"),
        ({"timeout": float("nan")}, "'wall' is a number above 0"),
        ({"timeout": 1e9}, "'wall' is at most 86400 s, a day; found 1000000000.0"),
        ({"memory": -1}, "'memory' is a number above 0"),
        ({"stdin": "nowhere"}, "cannot read nowhere"),
        ({"files": [Path("a/x"), Path("b/x")]}, "two files are named 'x'"),
        ({"file": Path("binary")}, "binary is not UTF-8"),
        ({"file": Path("nowhere")}, "cannot read nowhere"),
    ],
)
def test_what_cannot_be_is_refused(
    program: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(program.parent)
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "x").touch()
    Path("binary").write_bytes(b"\xff")
    plain = {"file": program, "stdin": "", "files": [], "env": [], "timeout": None, "memory": None}
    with pytest.raises(InputError, match=says):
        job_of(**{**plain, **change})


def test_a_name_that_no_job_may_have_is_refused(program: Path) -> None:
    odd = program.parent / "a\x1b"
    odd.touch()
    with pytest.raises(DataError, match="plain name"):
        job_of(program, "", [odd], [], None, None)


@pytest.mark.usefixtures("here")
def test_a_job_is_one_json_object(program: Path) -> None:
    done = subprocess.run(words(program, "--json"), capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    row = json.loads(done.stdout)
    assert set(row) == set(Execution("ok").to_json())
    assert (row["status"], row["exit_code"], row["stdout"]) == ("ok", 0, "READ a=b given\n")
    assert row["files"] == {"left.txt": "behind"}
    assert "\x1b" not in done.stdout


@pytest.mark.usefixtures("here")
def test_a_jobs_output_is_passed_on_with_one_line_about_it(program: Path) -> None:
    done = subprocess.run(
        words(program, "-o", "kept"), cwd=program.parent, capture_output=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"READ a=b given\n")
    said, line, rest = done.stderr.decode().split("\n")
    assert (said, rest) == ("\x1b[31mred", "")
    assert line.startswith("sandbox: ok (exit code 0); ")
    assert line.endswith("; files: left.txt")
    assert {path.name: path.read_text() for path in (program.parent / "kept").iterdir()} == {"left.txt": "behind"}


@pytest.mark.usefixtures("here")
def test_a_terminal_gets_no_command_from_a_job(program: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(words(program), stdout=theirs, stderr=theirs, timeout=240, check=False)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert r"\x1b[31mred" in seen
    assert "\x1b[31m" not in seen


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("code", "more", "status"),
    [
        ("raise SystemExit(3)", [], "runtime_error"),
        ("while True: pass", ["--timeout", "0.5"], "timeout"),
        ('print(len(b"x" * 10**8))', ["--memory", "64"], "oom"),
    ],
)
def test_every_other_end_is_exit_code_1(program: Path, code: str, more: list[str], status: str) -> None:
    program.write_text(code)
    done = subprocess.run(words(program, "--json", *more), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == status


def test_a_level_that_cannot_be_had_and_wrong_usage_are_exit_code_2(program: Path) -> None:
    for more in (
        ["--sandbox.require", "absolute"],
        ["--stdin", "nowhere"],
        ["--timeout", "-1"],
        ["--sandbox.bakend=x"],
    ):
        done = subprocess.run(words(program, *more), capture_output=True, text=True, timeout=240, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("lachesis: error: ")
        assert len(done.stderr.splitlines()) == 1


def test_files_of_a_job_never_meet_files_of_ours(tmp_path: Path) -> None:
    (tmp_path / "ours").touch()
    with pytest.raises(ConfigError, match="is not empty; choose another -o"):
        run_job(Job("print(1)"), LOW, as_json=True, out=tmp_path)


def test_the_line_about_a_job_says_what_was_lost() -> None:
    done = Execution(
        "limit",
        signal="SIGXFSZ",
        truncated=("stdout",),
        refused={"a\\n": "too\nlarge"},
        usage=Usage(1, 0, 0.5, 3 * MIB),
    )
    line = summary(done, "process")
    assert line == (
        r"sandbox: limit (SIGXFSZ); 1.000 s, 0.500 of CPU, 3.0 MiB; process at none; "
        r"cut off: stdout; refused a\n: too large"
    )
    line = summary(Execution("runtime_error", exit_code=3, reason="exit code 3"), "docker")
    assert line == "sandbox: runtime_error (exit code 3); 0.000 s, 0.000 of CPU; docker at none"
