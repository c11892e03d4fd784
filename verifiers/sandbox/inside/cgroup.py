"""One memory limit over all processes of a job: a cgroup of the agent's own, of version 1 or 2."""

import contextlib
import os
from pathlib import Path
from typing import Protocol


class Memory(Protocol):
    """What a supervisor asks of the memory of its jobs."""

    def prepare(self, memory: int) -> None:
        """Begin anew, with a limit of ``memory`` bytes."""

    def add(self, pid: int) -> None:
        """Put a process, and all that it will fork, under the limit."""

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
        self._kills = _count_kills(Path(self._path).read_text())

    def prepare(self, memory: int) -> None:
        """Begin anew."""
        self._kills = _count_kills(Path(self._path).read_text())

    def add(self, pid: int) -> None:
        """Every process of the container is under its limit."""

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""
        return _count_kills(Path(self._path).read_text()) > self._kills

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
        self.path, self._version = _make(name)
        self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self._parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
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

    def add(self, pid: int) -> None:
        """Put a process, and all that it will fork, under the limit."""
        self._write("cgroup.procs", str(pid))

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
            os.rmdir(self.path.name, dir_fd=self._parent)

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


def _make(name: str) -> tuple[Path, int]:
    """A new cgroup with a memory controller, and its version."""
    reason = "no memory cgroup is mounted"
    for parent, version in _places():
        path = parent / name
        try:
            path.mkdir()
            if (path / ("memory.limit_in_bytes" if version == 1 else "memory.max")).exists():
                _sweep(parent, name)
                return path, version
            path.rmdir()
            reason = f"{parent} gives its children no memory controller"
        except OSError as error:
            reason = f"{path}: {error.strerror}"
    raise OSError(reason)


def _places() -> list[tuple[Path, int]]:
    """Where a child of this process's memory cgroup could be, best first."""
    mounts, places = {}, []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            mounts["memory"] = Path(target)
        elif kind == "cgroup2":
            mounts.setdefault("", Path(target))
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and "memory" in mounts:
            places += [(mounts["memory"] / path.strip("/"), 1), (mounts["memory"], 1)]
        elif not controllers and "" in mounts:  # in version 2 a cgroup with processes cannot share out its controllers
            own = mounts[""] / path.strip("/")
            places += [(own.parent, 2)] * (own != mounts[""]) + [(mounts[""], 2)]
    return places


def _sweep(parent: Path, name: str) -> None:
    """Remove the cgroups of agents that were killed: their number is that of no process."""
    prefix = name.rstrip("0123456789")
    for path in parent.glob(f"{prefix}[0-9]*"):
        if not Path("/proc", path.name.removeprefix(prefix)).exists():
            with contextlib.suppress(OSError):
                path.rmdir()
