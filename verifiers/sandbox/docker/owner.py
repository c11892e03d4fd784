"""Whose container: one process, named for all time, so that what it leaves behind can be told from what is in use."""

import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path


def owner_label(pid: int) -> str:
    """``<host>:<pid>:<start time>`` of process ``pid``, on a daemon that several hosts may share."""
    return f"{_host()}:{pid}:{_start_time(pid)}"


def is_abandoned(label: str) -> bool:
    """Whether the owner was a process of this host and is dead; False where that cannot be known."""
    host, _, rest = label.partition(":")
    pid, _, started = rest.partition(":")
    if host != _host() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # another user's, which /proc may hide
    return _start_time(int(pid)) not in (started, "")


def _host() -> str:
    """This host, its boot and its process namespace: within them a process id and start time are one process."""
    marks = [platform.node()]
    with suppress(OSError):
        marks += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]


def _start_time(pid: int) -> str:
    """When process ``pid`` began, in the system's own words; ``ended`` for a zombie, empty where it cannot be known."""
    if not Path("/proc/self/stat").exists():
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "_".join(done.stdout.split())
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if after_name[0] in "ZX" else after_name[19]  # fields 3 and 22 of proc(5): state, starttime
