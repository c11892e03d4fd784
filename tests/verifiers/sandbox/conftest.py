"""Shared fixtures of the sandbox tests: a Docker image of this Python, and launchers with fewer rights."""

import base64
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox import agent
from lachesis.verifiers.sandbox.process_backend import ProcessLauncher
from lachesis.verifiers.sandbox.seccomp import bpf

_DROP = (
    'mount --bind "$1" /mnt && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups '
    '--inh-caps=-all --bounding-set=-all "$@"'
)


class NobodyLauncher(ProcessLauncher):
    """The process sandbox of a user without any rights, whose Python this user can read wherever root's lies."""

    @property
    def command(self) -> list[str]:
        """What starts one."""
        python = f"/mnt/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        return ["unshare", "--mount", "sh", "-c", _DROP, "sh", sys.base_prefix, *agent.command(python)]


_FILTER = """
import binascii, ctypes, os, sys
code = binascii.a2b_base64(sys.argv[1])
libc, held = ctypes.CDLL(None), ctypes.create_string_buffer(code, len(code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, ctypes.addressof(held))), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


class RefusedLauncher(NobodyLauncher):
    """The same where the kernel refuses namespaces, as inside many containers."""

    @property
    def command(self) -> list[str]:
        """What starts one."""
        command = super().command
        python = next(at for at, word in enumerate(command) if word.startswith("/mnt/"))
        code = base64.b64encode(bpf(platform.machine(), processes=True)).decode()
        return [*command[:python], command[python], "-c", _FILTER, code, *command[python:]]


@pytest.fixture(scope="session")
def docker_image() -> str:
    """The name of an image that holds a Python; without a Docker daemon the test is skipped."""
    from lachesis.verifiers.sandbox.docker.daemon import connect
    from lachesis.verifiers.sandbox.docker.image import build_image

    try:
        connect().close()
    except ConfigError as error:
        pytest.skip(f"no docker daemon: {error}")
    return build_image(report=lambda line: None)


@pytest.fixture(scope="session")
def nobody_launcher() -> ProcessLauncher:
    """The process sandbox as user 65534 would have it; the tests run as root."""
    return NobodyLauncher()


@pytest.fixture(scope="session")
def refused_launcher() -> ProcessLauncher:
    """The same where the kernel refuses namespaces."""
    return RefusedLauncher()


@pytest.fixture(scope="session")
def machine_allows_strong() -> None:
    """Skips where the machine, asked without any code of ours, gives no namespaces or no memory cgroup."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("the process sandbox is strong for root on Linux alone")
    words = "unshare --mount --pid --net --ipc --uts --fork --mount-proc true"
    if subprocess.run(words.split(), capture_output=True, check=False).returncode:
        pytest.skip("this machine refuses namespaces to root")
    for place in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        made = place / f"allowed-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        names = {path.name for path in made.iterdir()}
        made.rmdir()
        if names & {"memory.limit_in_bytes", "memory.max"}:
            return
    pytest.skip("this machine's memory cgroup cannot be written")
