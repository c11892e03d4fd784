"""A command that is forked ends as one for which Python is started, and harms no later one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .command_line import Lachesis, Server, run_lachesis


@pytest.mark.parametrize("words", [("--version",), ("trian",), (), ("eval", "ärger", "--model", "m\n")])
def test_a_forked_command_ends_as_a_started_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    variables = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    python = [sys.executable, "-m", "lachesis.commands.cli", *words]
    started = subprocess.run(python, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    forked = run_lachesis(*words, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_it_runs_in_its_folder_and_with_the_variables_of_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_lachesis("--version", cwd=tmp_path)  # the server may be older than the variable
    monkeypatch.setenv("SAID", "ünknown")
    (tmp_path / "own.py").write_text(
        "import os, pathlib\nraise RuntimeError(os.environ['SAID'], pathlib.Path().resolve())"
    )
    done = run_lachesis("check", "own.py", cwd=tmp_path)
    assert done.returncode != 0
    assert "ünknown" in done.stdout + done.stderr
    assert str(tmp_path.resolve()) in done.stdout + done.stderr


def test_one_that_takes_too_long_is_killed_and_the_next_runs(tmp_path: Path) -> None:
    words = ("serve", "--port", "0", "--store", "store.sqlite")
    with pytest.raises(subprocess.TimeoutExpired):
        run_lachesis(*words, cwd=tmp_path, timeout=0.5)
    process = Lachesis(*words, cwd=tmp_path, session=True)
    assert process.poll() is None
    assert os.getpgid(process.pid) in (process.pid, os.getpgid(0))  # it may not have come to its session yet
    process.kill()
    assert process.wait(60) == process.poll() == -signal.SIGKILL
    assert run_lachesis("--version", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_server_that_was_killed_fails_one_command_and_is_followed_by_another(tmp_path: Path) -> None:
    run_lachesis("--version", cwd=tmp_path)
    server = Server.running()
    server._process.kill()
    with pytest.raises((AssertionError, OSError)):
        run_lachesis("--version", cwd=tmp_path)
    assert Server.running() is not server
    end = time.monotonic() + 60
    while server._process.poll() is None:
        assert time.monotonic() < end
    assert run_lachesis("--version", cwd=tmp_path).returncode == 0
