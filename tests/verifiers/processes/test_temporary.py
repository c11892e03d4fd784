"""Temporary files: those of dead processes of this user are found by their names, and nothing else is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lachesis.verifiers.processes.owner import owner_label
from lachesis.verifiers.processes.temporary import abandoned, is_from_here, own_path, own_prefix


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def of_a_dead_process(purpose: str) -> str:
    """The prefix of an earlier process that had the number of this one."""
    host, pid, started = owner_label(os.getpid()).split(":")
    return f"lachesis-{purpose}-{host}.{pid}.{int(started) - 1}-"


def test_a_folder_of_a_killed_process_is_found_and_one_of_a_process_that_lives_is_not(temporary: Path) -> None:
    code = """
import tempfile, time
from lachesis.verifiers.processes.temporary import own_prefix
print(tempfile.mkdtemp(prefix=own_prefix("scratch")), flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    folder = process.stdout.readline().strip()
    tempfile.mkdtemp(prefix=own_prefix("mine"))
    own_path("mine").touch()
    assert list(abandoned()) == []
    process.kill()
    process.communicate()
    assert list(abandoned()) == [("scratch", Path(folder))]


def test_names_that_others_could_have_and_links_are_left_alone(temporary: Path) -> None:
    dead = of_a_dead_process("scratch")
    (temporary / f"{dead}file").touch()
    (temporary / f"{dead}link").symlink_to(temporary)
    os.mkfifo(temporary / f"{dead}pipe")
    for name in (
        "lachesis-a-b-c",
        "lachesis---",
        f"x{dead}",
        dead.replace("lachesis-scratch-", "lachesis-x-y"),
        "ä-\n",
    ):
        (temporary / name).touch()
    (temporary / os.fsdecode(b"lachesis-x-\xff.1.2-")).touch()
    host, pid, started = owner_label(os.getpid()).split(":")
    for odd in ("²", "٣", "-1", ""):
        (temporary / f"lachesis-y-{host}.{odd}.1-").touch()
    (temporary / f"lachesis-x-{'0' * len(host)}.{pid}.{int(started) - 1}-").touch()  # of another machine
    assert list(abandoned()) == [("scratch", temporary / f"{dead}file")]


def test_without_a_temporary_folder_nothing_is_found(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    assert list(abandoned()) == []


def test_a_file_of_another_machine_is_not_from_here() -> None:
    assert is_from_here(own_path("mine"))
    host = owner_label(os.getpid()).partition(":")[0]
    assert not is_from_here(Path(str(own_path("mine")).replace(host, "0" * len(host))))
    assert not is_from_here(Path("lachesis.log"))
