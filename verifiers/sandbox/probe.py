"""The probe of a sandbox: jobs that try to break out, and the level that follows from the result."""

import fcntl
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ..processes.temporary import own_prefix
from .job import MIB, Execution, Job, Level, Limits
from .layers import Layer

_ATTEMPT = """
import ctypes, fcntl, json, os, socket, sys
said = json.loads(sys.stdin.read())
libc = ctypes.CDLL(None, use_errno=True)
def works(act):
    try:
        return repr(act())
    except BaseException as error:
        return ""
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def lock(path):
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    raise OSError("not locked")
def connect_abstract():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\\0" + said["abstract"])
def fork():
    if not os.fork():
        os._exit(0)
    os.wait()
def grow():
    with open("grown", "wb") as file:
        for _ in range(4):
            file.write(bytes(1 << 20))
keyctl, ptrace = {"x86_64": (250, 101), "aarch64": (219, 117)}.get(os.uname().machine, (-1, -1))
print(json.dumps({
    "file": works(lambda: open(said["file"]).read()),
    "process": works(lambda: open(f"/proc/{said['pid']}/cmdline").read()) == repr(said["command"]),
    "network": works(lambda: socket.create_connection(("127.0.0.1", said["port"]), 1)) or works(connect_abstract),
    "lock": works(lambda: lock(said["library"])),
    "keyctl": works(lambda: call(keyctl, 0, -3, 1)),
    "ptrace": works(lambda: call(ptrace, 0, 0, 0, 0)),
    "fork": works(fork),
    "size": works(grow),
    "uid": os.getuid(),
}))
"""
_SHARE = """
import os, time
ready, tell = os.pipe()
os.set_blocking(ready, False)
for _ in range(4):
    if not os.fork():
        block = bytearray(b"x" * (40 << 20))
        os.write(tell, b"1")
        time.sleep(60)
        os._exit(0)
told = b""
while len(told) < 4 and os.waitpid(-1, os.WNOHANG) == (0, 0):
    time.sleep(0.01)
    try:
        told += os.read(ready, 4)
    except BlockingIOError:
        pass
"""
_ATTEMPT_LIMITS = Limits(wall=10, cpu=5, file_size=2 * MIB)
_SHARE_LIMITS = Limits(wall=10, cpu=5, memory=96 * MIB)


PATIENCE = 5.0
"""Seconds for which the probe waits for its lock of a file that all users of the machine can lock."""


def probe(run: Callable[[Job], Execution], network: bool, own_user: bool) -> list[Layer]:
    """Try each layer of a sandbox.

    Args:
        run: runs a job in the sandbox.
        network: whether jobs may use the network, which may hold that of the host as well.
        own_user: whether the agent reports that it changed the job's user; a job cannot tell, because a user namespace
            can show it another user id.
    """
    with (
        tempfile.NamedTemporaryFile("w", prefix=own_prefix("canary")) as canary,
        socket.create_server(("127.0.0.1", 0)) as server,
        _abstract_listener() as abstract,
        open("/usr/bin/env", "rb") as library,
    ):
        canary.write("seen")
        canary.flush()
        os.chmod(canary.name, 0o644)
        _lock(library.fileno())
        said = {
            "file": canary.name,
            "pid": os.getpid(),
            "command": _command(),
            "port": server.getsockname()[1],
            "abstract": _name(abstract),
            "library": library.name,
        }
        done = run(Job(_ATTEMPT, stdin=json.dumps(said).encode(), limits=_ATTEMPT_LIMITS))
    try:
        seen: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        found = done.reason or done.stderr[-200:] or done.status
        return [Layer("job", False, f"a job cannot be run: {found}", "read the reason; `lachesis doctor` tries again")]
    layers = [
        Layer("job", True, "a job runs"),
        _layer("files", not seen["file"], "a file of the host", _NAMESPACES_CURE),
        _layer("processes", not seen["process"], "a process of the host", _NAMESPACES_CURE),
        _layer(
            "network", not seen["network"], "a listener of the host", _NETWORK_CURE if network else _NAMESPACES_CURE
        ),
        _layer("locks", not seen["lock"], "a locked file of the host", _NAMESPACES_CURE),
        _layer(
            "seccomp", not (seen["keyctl"] or seen["ptrace"]), "keyctl and ptrace", "run on x86_64 or aarch64 Linux"
        ),
        _layer("file size", not seen["size"], "4 MiB written at a limit of 2 MiB", "run on Linux"),
        _layer("user", own_user and seen["uid"] not in (0, os.getuid()), "the user of Lachesis, or root", _USER_CURE),
    ]
    if not seen["fork"]:
        return [*layers, Layer("child processes", False, "a job may start none", _MEMORY_CURE)]
    shared = run(Job(_SHARE, limits=_SHARE_LIMITS))
    cured = "" if shared.status == "oom" else _MEMORY_CURE
    return [
        *layers,
        Layer("child processes", True, "a job may start some"),
        Layer("memory", shared.status == "oom", f"160 MiB by 4 processes at a limit of 96: {shared.status}", cured),
    ]


def level_of(layers: list[Layer]) -> Level:
    """The highest level whose layers are all held."""
    held = {layer.name: layer.held for layer in layers}
    if not held["job"] or not held["file size"]:
        return Level.NONE
    if not all(held[name] for name in ("files", "processes", "network", "locks", "seccomp") if name in held):
        return Level.ACCIDENT
    if held["child processes"]:
        return Level.STRONG if held["user"] and held["memory"] else Level.ACCIDENT
    return Level.CONTAINED


_NAMESPACES_CURE = (
    "run as root, or allow unprivileged user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on "
    "Ubuntu), or use Docker"
)
_NETWORK_CURE = (
    "use Docker, whose network is not that of the host, or set sandbox.network = false; "
    "sandbox.require = 'accident' accepts it"
)
_USER_CURE = "run as root, or use Docker"
_MEMORY_CURE = "run as root on a machine whose memory cgroup can be written, or use Docker"


def _command() -> str:
    try:
        with open("/proc/self/cmdline") as file:
            return file.read()
    except OSError:  # not Linux: there are no processes of this machine that a job could see
        return "none"


def _abstract_listener() -> socket.socket:
    """A socket whose name belongs to the network namespace, on Linux; elsewhere nobody can connect to it."""
    listener = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        listener.bind(f"\0lachesis-canary-{secrets.token_hex(8)}")
        listener.listen()
    return listener


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name[1:].decode() if isinstance(name, bytes) else ""


def _layer(name: str, held: bool, what: str, cure: str) -> Layer:
    return Layer(name, held, f"{what}: {'out of reach' if held else 'reached'}", "" if held else cure)


def _lock(file: int) -> None:
    """Share a lock, which no job may see. If a program of the machine keeps the file locked, its lock does as well."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return
            time.sleep(0.02)
