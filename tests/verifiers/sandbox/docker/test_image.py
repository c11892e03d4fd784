"""The image: equal bytes from equal Pythons, no other data of the machine, and a Python that works."""

import hashlib
import sys
import tarfile
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.docker.containers import ContainerLimits, Containers
from lachesis.verifiers.sandbox.docker.daemon import connect
from lachesis.verifiers.sandbox.docker.image import build_image, collect, pack

linux = pytest.mark.skipif(sys.platform != "linux", reason="an image is made of a Linux Python")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "root"
    collect(folder)
    return folder


@linux
def test_the_same_python_makes_the_same_archive(root: Path, tmp_path: Path) -> None:
    hashes = set()
    collect(tmp_path / "again")
    for number, folder in enumerate((root, tmp_path / "again")):
        pack(folder, tmp_path / f"{number}.tar")
        hashes.add(hashlib.sha256((tmp_path / f"{number}.tar").read_bytes()).hexdigest())
    assert len(hashes) == 1


@linux
def test_the_archive_names_no_user_and_no_time_of_this_machine(root: Path, tmp_path: Path) -> None:
    pack(root, tmp_path / "root.tar")
    with tarfile.open(tmp_path / "root.tar") as tar:
        entries = tar.getmembers()
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
        (0, 0, "", "", 315532800)
    }
    assert {entry.name for entry in entries if entry.mode & 0o7002} == {"box", "tmp", "var/tmp", "dev/shm"}
    assert all(entry.isreg() or entry.isdir() or entry.issym() for entry in entries)


@linux
def test_no_path_of_this_machine_and_no_installed_package_is_in_it(root: Path) -> None:
    names = {path.name for path in root.rglob("*")}
    assert not names & {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "sh", "bash"}
    prefix = str(Path(sys.base_prefix).resolve()).encode()
    homes = [prefix, str(Path.home()).encode() + b"/", str(root).encode()]
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found = [home for home in homes if home not in (b"/usr", b"//") and home in content]
            assert content.startswith(b"\x7fELF") or not found, f"{path} names {found}"


def test_building_again_makes_nothing_new_and_says_how_it_goes(docker_image: str) -> None:
    client = connect()
    before = client.images("lachesis-sandbox", quiet=True, all=True)  # other tests build theirs meanwhile
    lines: list[str] = []
    assert build_image(report=lines.append) == docker_image
    assert client.images("lachesis-sandbox", quiet=True, all=True) == before
    assert client.inspect_image("lachesis-sandbox:latest")["Id"] == client.inspect_image(docker_image)["Id"]
    assert "ready" in lines[-1]
    assert not [line for line in lines if line.startswith("not in the image")]


def test_its_python_knows_its_paths_zones_and_users(docker_image: str) -> None:
    program = (
        "import sys, sysconfig, zoneinfo, pwd, ctypes, hashlib, sqlite3, threading, decimal, json, email.message\n"
        "zoneinfo.ZoneInfo('Europe/Berlin'); sqlite3.connect(':memory:').execute('select 1'); ctypes.CDLL(None)\n"
        "thread = threading.Thread(target=print, args=('threads',)); thread.start(); thread.join()\n"
        "names = [row.pw_name for row in pwd.getpwall()]\n"
        "print(sys.prefix, sys.version_info[:2], sysconfig.get_paths()['stdlib'], names)"
    )
    containers = Containers(
        docker_image, ["python3", "-I", "-B", "-c", program], ContainerLimits(memory=128 << 20, disk=1 << 20)
    )
    connection = containers.start()
    try:
        output = b"".join(iter(lambda: connection.receive(30), b"")).decode()
    finally:
        connection.close()
        containers.close()
    stdlib = f"/usr/lib/python3.{sys.version_info.minor}"
    wanted = f"threads\n/usr {sys.version_info[:2]} {stdlib} ['root', 'nobody']\n"
    assert output.replace("lib64", "lib") == wanted, connection.diagnosis


def test_an_image_that_cannot_be_made_is_an_error_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text('#!/bin/sh\nexec python3 "$@"\n')
    monkeypatch.setattr(sys, "executable", str(wrapper))
    with pytest.raises(ConfigError, match="is a script and not a program"):
        collect(tmp_path / "root")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match=r"docker pull python:3.12-slim.*sandbox.image"):
        collect(tmp_path / "root")
