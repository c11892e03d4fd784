"""The supervisor, over small programs that tell it what a run would: what it restarts, and what it ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.trainer.run.supervision.supervisor import Patience, Supervisor
from lachesis.verifiers.errors import InfrastructureError

PROGRAM = """
import os, pathlib, signal, sys, time
from lachesis.trainer.run.supervision.heartbeat import Heartbeat
from lachesis.verifiers.errors import ConfigError, EnvironmentFault, InfrastructureError

folder, resumed = pathlib.Path(sys.argv[1]), sys.argv[2:]
starts = folder / "starts"
heart = Heartbeat.of_environment()
with starts.open("a") as file:
    file.write(f"{os.getpid()} {' '.join(resumed)} | {heart.restarted}\\n")
number = len(starts.read_text().splitlines())
heart.in_folder(folder)

def seal(step):
    checkpoint = folder / "checkpoints" / f"step-{step:06d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").touch()
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Supervises the program with the given end; returns exit code, lines of starts, and what was said."""

    def supervise(end: str, restarts: int = 3, patience: float = 30.0) -> tuple[int, list[str], list[str]]:
        said: list[str] = []
        command = [sys.executable, "-c", PROGRAM + end, str(tmp_path)]
        supervisor = Supervisor(command, None, restarts, patience, said.append)
        supervisor.FIRST_WAIT, supervisor.GRACE = 0.01, 0.3
        code = supervisor.supervise()
        return code, (tmp_path / "starts").read_text().splitlines(), said

    return supervise


def test_a_killed_run_is_resumed_and_each_newer_checkpoint_allows_further_restarts(
    run: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path
) -> None:
    code, starts, said = run(
        "seal(number); heart.event('step'); number < 5 and os.kill(os.getpid(), signal.SIGKILL)", restarts=1
    )
    assert (code, len(starts)) == (0, 5)
    assert starts[0].endswith(" | ")
    assert all(f"--resume {tmp_path} | the run was killed by SIGKILL; restart 1 of 1" in line for line in starts[1:])
    first = f"the run was killed by SIGKILL; restart 1 of 1 in 0.01 s, from the checkpoint of step 1 in {tmp_path}"
    assert first in said  # beside what the clean-up may find of others on this machine


def test_restarts_without_a_newer_checkpoint_are_limited(
    run: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match=r"failed \(no room\); 2 restarts .* --resume /.*test_restarts"):
        run("heart.failed(InfrastructureError('no room')); sys.exit(1)", restarts=2)
    assert len((tmp_path / "starts").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("heart.failed(ConfigError('wrong')); sys.exit(2)", 2),
        ("sys.exit(3)", 3),
        ("sys.exit(130)", 130),
        ("heart.failed(EnvironmentFault('own code')); sys.exit(1)", 1),
        ("heart.failed(ZeroDivisionError('own code')); sys.exit(1)", 1),
    ],
)
def test_a_run_that_is_done_wrong_or_stopped_is_not_restarted(
    run: Callable[..., tuple[int, list[str], list[str]]], end: str, code: int
) -> None:
    found, starts, said = run(end)
    assert (found, len(starts), said) == (code, 1, [])


@pytest.mark.parametrize("hang", ["os.kill(os.getpid(), signal.SIGSTOP)", "signal.signal(15, lambda *_: 0)"])
def test_a_run_that_is_stopped_or_hangs_is_ended_and_resumed(
    run: Callable[..., tuple[int, list[str], list[str]]], hang: str
) -> None:
    end = f"""
heart.event("step")
if number == 1:
    {hang}
    while True:
        time.sleep(0.1)
"""
    code, starts, said = run(end, patience=0.5)
    assert (code, len(starts)) == (0, 2)
    assert "no progress for" in said[0]


def test_messages_that_are_none_are_ignored(run: Callable[..., tuple[int, list[str], list[str]]]) -> None:
    end = r"os.write(heart._pipe, b'\n[1]\n{\xff}\nnull\n{\"event\": 3, \"step\"' + b'x' * 9000)"
    assert run(end)[0] == 0


def test_a_signal_is_passed_on_and_ends_the_supervisor_with_the_run(tmp_path: Path) -> None:
    end = """
def stop(*_):
    (folder / "saved").touch()
    sys.exit(130)
signal.signal(15, stop)
(folder / "ready").touch()
while True:
    heart.event("step"); time.sleep(0.05)
"""
    supervisor = Supervisor([sys.executable, "-c", PROGRAM + end, str(tmp_path)], None, 3, 30.0, print)

    def terminate() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=terminate)
    thread.start()
    assert supervisor.supervise() == 130
    thread.join()
    assert (tmp_path / "saved").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_whose_supervisor_was_killed_stops_too(tmp_path: Path) -> None:
    end = "\nwhile True:\n    heart.event('step'); time.sleep(0.05)"
    code = f"""
from lachesis.trainer.run.supervision.supervisor import Supervisor
Supervisor({[sys.executable, "-c", PROGRAM + end, str(tmp_path)]!r}, None, 3, 30.0, print).supervise()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    starts = tmp_path / "starts"
    until(lambda: starts.exists() and starts.read_text().endswith("\n"))
    supervisor.kill()
    supervisor.wait()
    child = int(starts.read_text().split()[0])
    until(lambda: not Path(f"/proc/{child}").exists())


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Patience, float, str], None]:
    """Lets a patience see an event after some seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def see(patience: Patience, seconds: float, event: str = "") -> None:
        now[0] += seconds
        if event:
            patience.seen(event)

    return see


def test_patience_follows_the_steps_and_their_pauses_and_never_falls_below_its_floor(
    after: Callable[..., None],
) -> None:
    patience = Patience(10.0)
    assert patience.allowed == 60.0
    after(patience, 50.0, "started")
    after(patience, 50.0, "step")
    assert patience.allowed == 10.0, "the time before the first step is no measure"
    after(patience, 0.5, "made")
    after(patience, 0.2, "step")
    assert patience.allowed == 10.0
    for _ in range(3):
        after(patience, 4.0, "step")
    assert patience.allowed == 40.0, "ten steps"
    after(patience, 35.0, "made")
    assert patience.allowed == 70.0, "twice the longest pause"
    after(patience, 71.0)
    assert patience.left == -1.0
    patience.begin()
    assert patience.left == 60.0, "a restarted run loads its model again"


def test_faults_that_were_waited_out_do_not_make_patience_grow_for_ever(after: Callable[..., None]) -> None:
    patience = Patience(10.0)
    after(patience, 1.0, "step")
    for _ in range(300):
        after(patience, 0.1, "step")
    for _ in range(3):
        after(patience, patience.allowed - 0.1, "made")
    assert patience.allowed < 80.0
    for _ in range(300):
        after(patience, 0.1, "step")
    assert patience.allowed == 10.0


def test_the_supervisor_imports_neither_ray_nor_torch() -> None:
    code = "import sys, lachesis.trainer.run.supervision.supervisor, lachesis.commands.run.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"ray", "torch", "transformers"} & set(done.stdout.split())
