"""The cgroup of a job, version 1 or 2: one memory limit and one CPU clock for all of its processes."""

import contextlib
import os
import sys
from typing import Protocol

_TCP_SHARE, _LEAST_TCP = 8, 8 << 20
"""Version 1 counts the buffers of TCP connections apart from other memory: at most this share of it, or these bytes."""


class Group(Protocol):
    """The processes of a job and its supervisor, taken together."""

    def make_room(self, memory: int) -> None:
        """Allow at least ``memory`` bytes until ``prepare`` is called."""

    def prepare(self, memory: int) -> None:
        """Start to count for a new job, with a limit of ``memory`` bytes."""

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""

    @property
    def peak(self) -> int:
        """The peak memory in bytes since ``prepare``, 0 if the kernel does not report it."""

    @property
    def cpu(self) -> float:
        """Seconds of CPU time, including ended processes that no process waited for."""


class ContainerGroup:
    """The cgroup of the container in which the agent runs; the parent sets its limit from outside.

    Raises:
        OSError: the files of the cgroup are not visible in the container.
    """

    def __init__(self) -> None:
        first, second = "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"
        self._path = first if os.path.exists(first) else second
        self._kills = _count_kills(_read_text(self._path))
        usage, stat = "/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu.stat"
        self._cpu = usage if os.path.exists(usage) else stat
        _parse_cpu_seconds(_read_text(self._cpu))

    def make_room(self, memory: int) -> None:
        """Do nothing: the parent has already set the limit."""

    def prepare(self, memory: int) -> None:
        """Start to count for a new job."""
        self._kills = _count_kills(_read_text(self._path))

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""
        return _count_kills(_read_text(self._path)) > self._kills

    @property
    def peak(self) -> int:
        """Unknown, because the container's own peak covers all of its jobs."""
        return 0

    @property
    def cpu(self) -> float:
        """Seconds of CPU time of all that ever ran in it."""
        return _parse_cpu_seconds(_read_text(self._cpu))


class Cgroup:
    """A cgroup for memory and CPU time (version 1 needs one for each), which is empty between jobs.

    Its folders stay open, because the agent cannot see the cgroup file system after it has moved to its own root. Jobs
    never see it.

    Raises:
        OSError: no cgroup can be made here.
    """

    def __init__(self, name: str) -> None:
        parent, self._name, self._version = _make_cgroup(name)
        self._parents = [_open_folder(parent)]
        self._folders = [_open_folder(f"{parent}/{name}")]
        try:
            if self._version == 1:
                parent = _make_cpu_cgroup(name)
                self._parents.append(_open_folder(parent))
                self._folders.append(_open_folder(f"{parent}/{name}"))
            _parse_cpu_seconds(self._read(self._cpu_file, -1))
        except (OSError, ValueError) as error:
            self.remove()
            raise OSError(f"no count of CPU time: {error}") from None
        if self._version == 1:
            self._try_to_write("memory.swappiness", "0")
        else:
            self._try_to_write("memory.swap.max", "0")
            self._try_to_write("memory.oom.group", "0")

    def make_room(self, memory: int) -> None:
        """Allow at least ``memory`` bytes until ``prepare`` is called."""
        if memory > self._limit:
            self._set_limit(memory)

    def prepare(self, memory: int) -> None:
        """Start to count for a new job, with a limit of ``memory`` bytes; release memory that is still charged."""
        if self._version == 1 and memory < self._limit:
            self._try_to_write("memory.force_empty", "0")
        self._set_limit(memory)
        self._try_to_write("memory.max_usage_in_bytes" if self._version == 1 else "memory.peak", "0")
        self._kills = self._killed()

    @property
    def _limit(self) -> int:
        """The current limit; the supervisor of the last job, another process, has set it."""
        text = self._read("memory.limit_in_bytes" if self._version == 1 else "memory.max").strip()
        return sys.maxsize if text == "max" else int(text)

    def _set_limit(self, memory: int) -> None:
        if self._version == 1:
            names = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
            for name in names if memory > self._limit else names[::-1]:  # memory may not exceed memory and swap
                if name == names[1]:
                    self._write(name, str(memory))
                else:
                    self._try_to_write(name, str(memory))
            self._try_to_write("memory.kmem.tcp.limit_in_bytes", str(max(_LEAST_TCP, memory // _TCP_SHARE)))
        else:
            self._write("memory.max", str(memory))

    def join(self) -> None:
        """Move this process and its future children into the cgroup; done once, because it can take milliseconds."""
        for at in range(len(self._folders)):
            self._write("cgroup.procs", str(os.getpid()), at)

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""
        return self._killed() > self._kills

    @property
    def peak(self) -> int:
        """The peak memory in bytes since ``prepare``, 0 if the kernel does not report it."""
        try:
            return int(self._read("memory.max_usage_in_bytes" if self._version == 1 else "memory.peak"))
        except OSError:
            return 0

    @property
    def cpu(self) -> float:
        """Seconds of CPU time of all that ever ran in it."""
        return _parse_cpu_seconds(self._read(self._cpu_file, -1))

    @property
    def _cpu_file(self) -> str:
        return "cpuacct.usage" if self._version == 1 else "cpu.stat"

    def remove(self) -> None:
        """Remove it; it must be empty."""
        for parent in self._parents:
            with contextlib.suppress(OSError):
                os.rmdir(self._name, dir_fd=parent)

    def _killed(self) -> int:
        return _count_kills(self._read("memory.oom_control" if self._version == 1 else "memory.events"))

    def _read(self, name: str, at: int = 0) -> str:
        fd = os.open(name, os.O_RDONLY, dir_fd=self._folders[at])
        try:
            return os.read(fd, 4096).decode()
        finally:
            os.close(fd)

    def _write(self, name: str, value: str, at: int = 0) -> None:
        fd = os.open(name, os.O_WRONLY, dir_fd=self._folders[at])
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _try_to_write(self, name: str, value: str) -> None:
        with contextlib.suppress(OSError):  # not every kernel has this file
            self._write(name, value)


def _count_kills(text: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def _parse_cpu_seconds(text: str) -> float:
    """CPU seconds from the file of version 1 (a number of nanoseconds) or version 2 (a table with microseconds)."""
    words = text.split()
    return int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6


def _open_folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _make_cgroup(name: str) -> tuple[str, str, int]:
    """Make a cgroup with a memory controller, and return (parent, name, version)."""
    reason = "no memory cgroup is mounted"
    for parent, version in _possible_parents():
        path = f"{parent}/{name}"
        try:
            os.mkdir(path)
            if os.path.exists(f"{path}/{'memory.limit_in_bytes' if version == 1 else 'memory.max'}"):
                _remove_abandoned(parent, name)
                return parent, name, version
            os.rmdir(path)
            reason = f"{parent} gives its children no memory controller"
        except OSError as error:
            reason = f"{path}: {error.strerror}"
    raise OSError(reason)


def _make_cpu_cgroup(name: str) -> str:
    """Make a cgroup of version 1 that counts CPU time, and return its parent."""
    for parent, version in _possible_parents("cpuacct"):
        if version == 1:
            with contextlib.suppress(OSError):
                os.mkdir(f"{parent}/{name}")
                _remove_abandoned(parent, name)
                return parent
    raise OSError("no cpuacct cgroup can be made")


def _possible_parents(controller: str = "memory") -> list[tuple[str, int]]:
    """(parent, version) for new cgroups with ``controller``, the best first."""
    mounts: dict[str, str] = {}
    parents = []
    for line in _read_text("/proc/self/mounts").splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(","):
            mounts[controller] = target
        elif kind == "cgroup2":
            mounts.setdefault("", target)
    for line in _read_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and controller in mounts:
            parents += [(mounts[controller] + path.rstrip("/"), 1), (mounts[controller], 1)]
        elif not controllers and "" in mounts:  # version 2: with processes, a cgroup cannot pass controllers on
            siblings = [mounts[""] + os.path.dirname(path).rstrip("/")] if path != "/" else []
            parents += [(parent, 2) for parent in [*siblings, mounts[""]]]
    return parents


def _remove_abandoned(parent: str, name: str) -> None:
    """Remove the cgroups of agents that were killed: no process has the id in their name."""
    prefix = name.rstrip("0123456789")
    for other in os.listdir(parent):
        if other.startswith(prefix) and not os.path.exists(f"/proc/{other[len(prefix) :]}"):
            with contextlib.suppress(OSError):
                os.rmdir(f"{parent}/{other}")


def _read_text(path: str) -> str:
    with open(path) as file:
        return file.read()
