"""What a killed run has left is found by its mark and removed; what belongs to anybody else is not touched."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lachesis.rollout.cluster import leftovers
from lachesis.rollout.cluster.leftovers import VARIABLE, Driver, clean

DRIVER = """
import os, pathlib, subprocess, sys, tempfile, time
from lachesis.verifiers.processes.temporary import own_prefix
from lachesis.rollout.cluster import leftovers
from lachesis.rollout.cluster.leftovers import leave, sign
leftovers._boot = lambda: sys.argv[2]
sign()
folder = pathlib.Path(f"{sys.argv[1]}_{os.getpid()}")
folder.mkdir()
folder.chmod(0o777)  # as Ray does
scratch = tempfile.mkdtemp(prefix=own_prefix("scratch"))
pathlib.Path(scratch, "file").touch()
leave(folder)
sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
marked = subprocess.Popen(sleeper, start_new_session=True)
with (folder / "log").open("w") as log:
    renamed = subprocess.Popen(sleeper, stdout=log, env={}, start_new_session=True)
stranger = subprocess.Popen(sleeper, env={}, start_new_session=True)
print(marked.pid, renamed.pid, stranger.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of a machine of this test alone: runs of other tests are killed and clean up meanwhile."""
    monkeypatch.setattr(leftovers, "_boot", lambda: str(tmp_path))
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def killed(temporary: Path) -> Iterator[tuple[Path, list[int], int]]:
    """A driver that was killed: its folder, and its processes: by mark, by open file, and a stranger."""
    folder = temporary / "session"
    command = [sys.executable, "-c", DRIVER, str(folder), leftovers._boot()]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    *own, stranger = map(int, driver.stdout.readline().split())
    assert clean() == [], "a driver that lives keeps all"
    driver.kill()
    driver.wait()
    try:
        yield Path(f"{folder}_{driver.pid}"), own, stranger
    finally:
        for pid in (*own, stranger):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    return Driver.of(pid) is not None


def test_processes_and_the_folder_of_a_dead_driver_are_removed_and_nothing_else(
    temporary: Path, killed: tuple[Path, list[int], int]
) -> None:
    folder, own, stranger = killed
    found = clean()
    assert len(found) == 4
    assert f"folder {folder}" in found
    assert not list(temporary.glob("lachesis-scratch-*"))
    assert not any(map(alive, own))
    assert not folder.exists()
    assert alive(stranger)
    assert clean() == []
    assert [path for path in temporary.rglob("*") if path.is_file()] == []


def test_a_later_process_with_the_drivers_number_is_not_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Driver.of(os.getpid())
    assert me
    assert me.alive
    assert Driver.read(me.token) == me
    assert not Driver(me.pid, me.started - 1, me.place).alive
    assert Driver(me.pid, me.started - 1, "of another machine:pid:[1]").alive, "it cannot be seen from here"


def test_a_process_whose_mark_is_not_readable_is_left_alone(temporary: Path) -> None:
    for mark in ("", "1", "x:y:z", "1:2", "9" * 5000, "\udcff:1:2"):
        with subprocess.Popen(["sleep", "600"], env={VARIABLE: mark}) as process:
            time.sleep(0.05)
            clean()
            assert process.poll() is None
            process.kill()


def test_notes_that_are_damaged_or_name_what_is_not_a_folder_remove_nothing(temporary: Path) -> None:
    me = Driver.of(os.getpid())
    assert me
    dead = Driver(me.pid, me.started - 1, me.place).token
    notes = leftovers._notes()
    assert notes
    names = [f"file_{me.pid}", f"link_{me.pid}", f"missing_{me.pid}", "other", ".", "/"]
    (temporary / names[0]).write_text("x")
    (temporary / names[1]).symlink_to(temporary)
    (temporary / "other").mkdir()
    rows = ["", "[]", "{}", json.dumps({"driver": dead}), json.dumps({"driver": 3, "folder": "x"})]
    rows += [json.dumps({"driver": dead, "folder": str(temporary / name)}) for name in names]
    for number, row in enumerate(rows):
        (notes / f"{number}.json").write_text(row)
    assert clean() == []
    assert (temporary / names[0]).read_text() == "x"
    assert (temporary / "other").is_dir()


def test_a_folder_of_notes_that_others_can_write_into_is_not_believed(temporary: Path) -> None:
    notes = leftovers._notes()
    assert notes
    notes.chmod(0o777)
    assert leftovers._notes() is None
