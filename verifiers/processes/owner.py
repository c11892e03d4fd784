"""The process that owns a container or a temporary file: a label that identifies it, and whether it is dead."""

import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path


def owner_label(pid: int) -> str:
    """The label ``<host>:<pid>:<start time>`` of process ``pid`` of this user; several hosts may share a daemon."""
    return f"{_host()}:{pid}:{_start_time(pid)}"


def is_abandoned(label: str) -> bool:
    """Whether the owner was a process of this host and user and is dead; False if that is unknown."""
    _, _, rest = label.partition(":")
    pid, _, started = rest.partition(":")
    if not is_of_this_host(label) or not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # a process of another user, which /proc may hide
    return _start_time(int(pid)) not in (started, "")


def is_of_this_host(label: str) -> bool:
    """Whether the owner is, or was, a process of this host and user."""
    return label.partition(":")[0] == _host()


def _host() -> str:
    """A hash of this host, its boot, its PID namespace and this user; in it, a pid and a start time are a process."""
    identity = [platform.node(), str(os.geteuid())]
    with suppress(OSError):
        identity += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]


def _start_time(pid: int) -> str:
    """When process ``pid`` started, as the system prints it; ``ended`` for a zombie, empty if unknown."""
    if not Path("/proc/self/stat").exists():
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "_".join(done.stdout.split())
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if after_name[0] in "ZX" else after_name[19]  # fields 3 and 22 of proc(5): state, starttime
