"""What happens to a whole run when a part of it, or the machine under it, is killed, stopped or full."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lachesis.rollout.cluster.leftovers import Driver
from lachesis.trainer.run.storage.checkpoint import MANIFEST

from .soak import Runs
from .soak_faults import Result, command, descendants, on_ray, undisturbed, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    folder = tmp_path_factory.mktemp("whole")
    with closing(Runs(folder / "log")) as runs:
        yield undisturbed(folder, runs)


@pytest.mark.parametrize(
    "fault",
    [
        *(f"{part} {how}" for part in ("driver", "raylet", "GCS") for how in ("KILL", "STOP")),
        "driver KILL, newest checkpoint flipped",
        "SIGTERM",
    ],
)
def test_a_supervised_run_ends_as_an_undisturbed_one_and_leaves_nothing(
    tmp_path: Path, expected: Result, fault: str
) -> None:
    report = on_ray(0, tmp_path, expected, number=1, faults=[fault])
    assert report.wrong == ""
    assert len(report.faults) == 1


def lachesis(folder: Path, *words: str, prefix: str = "", **environment: str) -> "subprocess.Popen[str]":
    """``lachesis train``, in a shell of its own where ``prefix`` prepares its mounts."""
    call = [sys.executable, "-m", "lachesis.commands.cli", "train", *words]
    if prefix:
        call = ["unshare", "-m", "sh", "-c", f'{prefix} && exec "$@"', "sh", *call]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        call, cwd=folder, env={**os.environ, **environment}, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_rank_that_is_lost_ends_the_run_with_one_line_and_nothing_left(tmp_path: Path, how: signal.Signals) -> None:
    config = write_config(tmp_path, "ranks", inline=False, steps=100_000)
    process = lachesis(tmp_path, str(config), "--trainer.ranks", "2")
    seal = tmp_path / "ranks-1" / "checkpoints" / "step-000002" / MANIFEST
    until = time.monotonic() + 300
    while not seal.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    family = list(descendants(process.pid))
    started = [one for pid in family if (one := Driver.of(pid))]
    ranks = [pid for pid in family if command(pid).startswith(b"ray::Rank")]
    assert len(ranks) == 2
    os.kill(ranks[1], how)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].endswith("continue with --resume")
    until = time.monotonic() + 30
    while left := [one for one in started if one.alive]:
        assert time.monotonic() < until, [command(one.pid)[:100] for one in left]
        time.sleep(0.2)


BIG = ["--model.tiny.hidden", "1024", "--model.tiny.layers", "3", "--warm_start.steps", "0"]
"""A model of 190 MB."""
FULL: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "the temporary folder": ("mount -t tmpfs -o size=256k tmpfs FULL", [], {"TMPDIR": "FULL"}),
    "/dev/shm": ("mount -t tmpfs -o size=8m tmpfs /dev/shm", [], {}),
    "the object store": ("true", BIG, {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "80000000"}),
}


@pytest.fixture
def full() -> Iterator[Path]:
    """A folder with a short path, since Ray puts sockets into its temporary folder."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("place", FULL)
def test_a_run_goes_on_although_a_place_for_its_objects_or_logs_is_full(tmp_path: Path, full: Path, place: str) -> None:
    mount, words, environment = FULL[place]
    if "TMPDIR" in environment:
        environment = {"TMPDIR": str(full)}
    mount = mount.replace("FULL", str(full))
    config = write_config(tmp_path, "full", inline=False, steps=2)
    process = lachesis(tmp_path, str(config), *words, prefix=mount, **environment)
    _, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (0, "")
