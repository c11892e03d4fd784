import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest

from lachesis.verifiers.processes import marked
from lachesis.verifiers.processes.marked import end_processes

Sleeper = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def sleeper() -> Sleeper:
    def start(mark: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["/bin/sleep", "60"], env={"LACHESIS_TEST_MARK": mark}, start_new_session=True)

    return start


def test_only_processes_with_the_mark_end(sleeper: Sleeper, tmp_path: Path) -> None:
    mine, other = sleeper(str(tmp_path)), sleeper(f"{tmp_path}-other")
    end_processes("LACHESIS_TEST_MARK", str(tmp_path))
    assert mine.wait(10) == -SIGKILL
    assert other.poll() is None
    end_processes("LACHESIS_TEST_MARK", f"{tmp_path}-other")
    assert other.wait(10) == -SIGKILL


def test_a_process_whose_environment_cannot_be_read_yet_ends(
    sleeper: Sleeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = sleeper("late")
    entry = tmp_path / str(process.pid)
    entry.mkdir()
    (entry / "exe").symlink_to("/bin/sleep")
    (entry / "environ").touch()  # as the kernel shows it while a program begins
    monkeypatch.setattr(marked, "_PROC", tmp_path)
    monkeypatch.setattr(marked, "_ROUNDS", 1000)
    thread = threading.Thread(target=end_processes, args=("LACHESIS_TEST_MARK", "late"))
    thread.start()
    time.sleep(0.05)
    (entry / "environ").write_bytes(b"LACHESIS_TEST_MARK=late\0")
    assert process.wait(10) == -SIGKILL
    (entry / "environ").unlink()
    thread.join(30)
    assert not thread.is_alive()


def test_a_process_that_has_no_environment_does_not_hold_it_up() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"], env={})
    end_processes("LACHESIS_TEST_MARK", "none has it")
    assert process.poll() is None
    process.kill()
    process.wait()
