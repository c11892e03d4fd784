"""Containers that a killed run has left: the next start removes them, also if it uses no Docker itself."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from docker.errors import NotFound

from lachesis.rollout.cluster import leftovers
from lachesis.rollout.cluster.leftovers import clean
from lachesis.verifiers.processes import owner
from lachesis.verifiers.processes.temporary import CONTAINERS, own_path
from lachesis.verifiers.sandbox.docker.containers import own_containers
from lachesis.verifiers.sandbox.docker.daemon import connect

LEFT = """
import sys, time
from lachesis.rollout.cluster import leftovers
from lachesis.rollout.cluster.leftovers import sign
from lachesis.verifiers.processes import owner
from lachesis.verifiers.sandbox.docker.containers import OWNER, ContainerLimits, Containers
leftovers._boot, owner._host = (lambda: {boot!r}), (lambda: {host!r})
sign()
stuck = Containers({image!r}, ["python3", "-c", "import time; time.sleep(600)"], ContainerLimits(1 << 27, 1 << 23))
api = stuck._api
host = api.create_host_config(network_mode="none")
labels = {{OWNER: stuck._owner}}
sleep = ["python3", "-c", "import time; time.sleep(600)"]
made = [api.create_container({image!r}, sleep, labels=labels, volumes=["/data"], host_config=host)["Id"] for _ in "ab"]
api.start(made[0])
print(stuck.start().container, *made, flush=True)
{then}
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of a machine of this test alone: runs of other tests are killed and clean up meanwhile."""
    monkeypatch.setattr(leftovers, "_boot", lambda: str(tmp_path))
    monkeypatch.setattr(owner, "_host", lambda: f"{os.getpid():016x}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run_of(image: str, then: str) -> tuple["subprocess.Popen[str]", list[str]]:
    """A run and its containers: an agent that hangs, a program with a volume, and one that was never started."""
    code = LEFT.format(image=image, then=then, boot=leftovers._boot(), host=owner._host())
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().split()


def is_there(container: str) -> bool:
    try:
        connect().inspect_container(container)
    except NotFound:
        return False
    return True


def test_containers_of_a_killed_run_are_removed_with_their_volumes_by_the_next_start(
    docker_image: str, temporary: Path
) -> None:
    api = connect()
    process, containers = run_of(docker_image, "time.sleep(600)")
    volumes = [
        mount["Name"] for one in containers for mount in api.inspect_container(one)["Mounts"] if mount.get("Name")
    ]
    assert len(volumes) == 2
    assert clean() == []
    assert all(map(is_there, containers)), "their owner lives"
    process.kill()
    process.communicate()
    found = clean()
    assert {f"container {one[:12]}" for one in containers} <= set(found)
    assert not any(map(is_there, containers))
    assert not {volume["Name"] for volume in api.volumes()["Volumes"] or []} & set(volumes)
    assert list(temporary.iterdir()) == [temporary / f"lachesis-drivers-{os.geteuid()}"]
    assert clean() == []


def test_the_note_of_another_or_silent_daemon_stays_and_a_start_says_so(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = f"from lachesis.verifiers.processes import owner, temporary\nowner._host = lambda: {owner._host()!r}\n"
    code += "print(temporary.own_path('containers'))"
    note = Path(subprocess.check_output([sys.executable, "-c", code], text=True).strip())
    note.write_text("tcp://elsewhere:1")
    assert (clean(), caplog.text) == ([], "")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nothing/here.sock")
    note.write_text("unix:///nothing/here.sock")
    assert clean() == []
    assert "containers of a killed run may be left" in caplog.text
    assert "no daemon at unix:///nothing/here.sock" in caplog.text
    assert note.exists()
    note.unlink()
    note.mkdir()
    assert clean() == []


def test_a_run_that_ends_in_the_usual_way_leaves_no_note(docker_image: str, temporary: Path) -> None:
    process, _ = run_of(docker_image, "[api.remove_container(one, force=True, v=True) for one in made]")
    process.communicate()
    assert process.returncode == 0
    assert list(temporary.iterdir()) == []


def test_a_note_is_not_written_through_a_link_that_somebody_has_put_there(docker_image: str, temporary: Path) -> None:
    precious = temporary / "precious"
    precious.write_text("kept")
    own_path(CONTAINERS).symlink_to(precious)
    own_containers(connect())
    assert precious.read_text() == "kept"
    assert not own_path(CONTAINERS).is_symlink()
    assert own_path(CONTAINERS).stat().st_mode & 0o777 == 0o600
