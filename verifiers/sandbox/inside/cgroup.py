"""One memory limit over all processes of a job: a cgroup of the agent's own, of version 1 or 2."""

import contextlib
import os
from typing import Protocol


class Memory(Protocol):
    """What a supervisor asks of the memory of its jobs."""

    def prepare(self, memory: int) -> None:
        """Begin anew, with a limit of ``memory`` bytes."""

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""

    @property
    def peak(self) -> int:
        """Bytes at most since ``prepare``, 0 where the kernel does not say."""


class ContainerMemory:
    """The memory of the container that the agent itself is in; its limit is set from outside.

    Raises:
        OSError: the container shows nothing of it.
    """

    def __init__(self) -> None:
        first, second = "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"
        self._path = first if os.path.exists(first) else second
        self._kills = _count_kills(_text(self._path))

    def prepare(self, memory: int) -> None:
        """Begin anew."""
        self._kills = _count_kills(_text(self._path))

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""
        return _count_kills(_text(self._path)) > self._kills

    @property
    def peak(self) -> int:
        """Not known: the container's own count is of all its jobs."""
        return 0


class Cgroup:
    """A memory cgroup, empty between jobs.

    Its files are held open: a job's processes see no cgroup file system, and neither does the agent once it has moved
    into its own root.

    Raises:
        OSError: none can be made here.
    """

    def __init__(self, name: str) -> None:
        parent, self._name, self._version = _make(name)
        self._folder = os.open(f"{parent}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        self._parent = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        self._limit = 0
        if self._version == 1:
            self._try("memory.swappiness", "0")
        else:
            self._try("memory.swap.max", "0")
            self._try("memory.oom.group", "0")

    def prepare(self, memory: int) -> None:
        """Empty of everything that was charged before, limited to ``memory`` bytes."""
        if self._version == 1:
            self._prepare_first(memory)
        else:
            self._write("memory.max", str(memory))
            self._try("memory.peak", "0")
        self._kills = self._killed()

    def _prepare_first(self, memory: int) -> None:
        if memory < self._limit:
            self._try("memory.force_empty", "0")
        names = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
        for name in names if memory > self._limit else reversed(names):  # memory is never above memory and swap
            if name == names[1]:
                self._write(name, str(memory))
            else:
                self._try(name, str(memory))
        self._limit = memory
        self._try("memory.max_usage_in_bytes", "0")

    def join(self) -> None:
        """Put this process, and all that it will fork, under the limit: once, because it can take milliseconds."""
        self._write("cgroup.procs", str(os.getpid()))

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""
        return self._killed() > self._kills

    @property
    def peak(self) -> int:
        """Bytes at most since ``prepare``, 0 where the kernel does not say."""
        try:
            return int(self._read("memory.max_usage_in_bytes" if self._version == 1 else "memory.peak"))
        except OSError:
            return 0

    def remove(self) -> None:
        """Remove it; it must be empty."""
        with contextlib.suppress(OSError):
            os.rmdir(self._name, dir_fd=self._parent)

    def _killed(self) -> int:
        return _count_kills(self._read("memory.oom_control" if self._version == 1 else "memory.events"))

    def _read(self, name: str) -> str:
        fd = os.open(name, os.O_RDONLY, dir_fd=self._folder)
        try:
            return os.read(fd, 4096).decode()
        finally:
            os.close(fd)

    def _write(self, name: str, value: str) -> None:
        fd = os.open(name, os.O_WRONLY, dir_fd=self._folder)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _try(self, name: str, value: str) -> None:
        with contextlib.suppress(OSError):  # not every kernel has it
            self._write(name, value)


def _count_kills(text: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def _make(name: str) -> tuple[str, str, int]:
    """(parent, name, version) of a new cgroup with a memory controller."""
    reason = "no memory cgroup is mounted"
    for parent, version in _places():
        path = f"{parent}/{name}"
        try:
            os.mkdir(path)
            if os.path.exists(f"{path}/{'memory.limit_in_bytes' if version == 1 else 'memory.max'}"):
                _sweep(parent, name)
                return parent, name, version
            os.rmdir(path)
            reason = f"{parent} gives its children no memory controller"
        except OSError as error:
            reason = f"{path}: {error.strerror}"
    raise OSError(reason)


def _places() -> list[tuple[str, int]]:
    """Where a child of this process's memory cgroup could be, best first."""
    mounts: dict[str, str] = {}
    places = []
    for line in _text("/proc/self/mounts").splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            mounts["memory"] = target
        elif kind == "cgroup2":
            mounts.setdefault("", target)
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and "memory" in mounts:
            places += [(mounts["memory"] + path.rstrip("/"), 1), (mounts["memory"], 1)]
        elif not controllers and "" in mounts:  # in version 2 a cgroup with processes cannot share out its controllers
            parents = [mounts[""] + os.path.dirname(path).rstrip("/")] if path != "/" else []
            places += [(parent, 2) for parent in [*parents, mounts[""]]]
    return places


def _sweep(parent: str, name: str) -> None:
    """Remove the cgroups of agents that were killed: their number is that of no process."""
    prefix = name.rstrip("0123456789")
    for other in os.listdir(parent):
        if other.startswith(prefix) and not os.path.exists(f"/proc/{other[len(prefix) :]}"):
            with contextlib.suppress(OSError):
                os.rmdir(f"{parent}/{other}")


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()
