"""One memory limit and one count of CPU time over all processes of a job: cgroups of version 1 or 2."""

import contextlib
import os
import sys
from typing import Protocol


class Group(Protocol):
    """What a supervisor asks of all processes of its job together, itself among them."""

    def make_room(self, memory: int) -> None:
        """Allow at least ``memory`` bytes, until ``prepare``."""

    def prepare(self, memory: int) -> None:
        """Begin anew, with a limit of ``memory`` bytes."""

    @property
    def ran_out(self) -> bool:
        """Whether a process was killed for memory since ``prepare``."""

    @property
    def peak(self) -> int:
        """Bytes at most since ``prepare``, 0 where the kernel does not say."""

    @property
    def cpu(self) -> float:
        """Seconds of CPU time, those of processes that ended and were never waited for included."""


class ContainerGroup:
    """The container that the agent itself is in; its limit is set from outside.

    Raises:
        OSError: the container shows nothing of it.
    """

    def __init__(self) -> None:
        first, second = "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"
        self._path = first if os.path.exists(first) else second
        self._kills = _count_kills(_text(self._path))
        usage, stat = "/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu.stat"
        self._cpu = usage if os.path.exists(usage) else stat
        _seconds(_text(self._cpu))

    def make_room(self, memory: int) -> None:
        """The parent has done it."""

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

    @property
    def cpu(self) -> float:
        """Seconds of CPU time of all that ever ran in it."""
        return _seconds(_text(self._cpu))


class Cgroup:
    """A cgroup for memory and CPU time, in version 1 one for each, empty between jobs.

    Its files are held open: a job's processes see no cgroup file system, and neither does the agent once it has moved
    into its own root.

    Raises:
        OSError: none can be made here.
    """

    def __init__(self, name: str) -> None:
        parent, self._name, self._version = _make(name)
        self._parents = [_folder(parent)]
        self._folders = [_folder(f"{parent}/{name}")]
        try:
            if self._version == 1:
                parent = _make_counter(name)
                self._parents.append(_folder(parent))
                self._folders.append(_folder(f"{parent}/{name}"))
            _seconds(self._read(self._cpu_file, -1))
        except (OSError, ValueError) as error:
            self.remove()
            raise OSError(f"no count of CPU time: {error}") from None
        if self._version == 1:
            self._try("memory.swappiness", "0")
        else:
            self._try("memory.swap.max", "0")
            self._try("memory.oom.group", "0")

    def make_room(self, memory: int) -> None:
        """Allow at least ``memory`` bytes, until ``prepare``."""
        if memory > self._limit:
            self._set_limit(memory)

    def prepare(self, memory: int) -> None:
        """Empty of everything that was charged before, limited to ``memory`` bytes."""
        if self._version == 1 and memory < self._limit:
            self._try("memory.force_empty", "0")
        self._set_limit(memory)
        self._try("memory.max_usage_in_bytes" if self._version == 1 else "memory.peak", "0")
        self._kills = self._killed()

    @property
    def _limit(self) -> int:
        """As the last job's supervisor, another process, has left it."""
        text = self._read("memory.limit_in_bytes" if self._version == 1 else "memory.max").strip()
        return sys.maxsize if text == "max" else int(text)

    def _set_limit(self, memory: int) -> None:
        if self._version == 1:
            names = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
            for name in names if memory > self._limit else names[::-1]:  # memory is never above memory and swap
                if name == names[1]:
                    self._write(name, str(memory))
                else:
                    self._try(name, str(memory))
        else:
            self._write("memory.max", str(memory))

    def join(self) -> None:
        """Put this process, and all that it will fork, under the limit: once, because it can take milliseconds."""
        for at in range(len(self._folders)):
            self._write("cgroup.procs", str(os.getpid()), at)

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

    @property
    def cpu(self) -> float:
        """Seconds of CPU time of all that ever ran in it."""
        return _seconds(self._read(self._cpu_file, -1))

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

    def _try(self, name: str, value: str) -> None:
        with contextlib.suppress(OSError):  # not every kernel has it
            self._write(name, value)


def _count_kills(text: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def _seconds(text: str) -> float:
    """CPU seconds as version 1 says them (nanoseconds alone) or version 2 (a table, with microseconds)."""
    words = text.split()
    return int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6


def _folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


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


def _make_counter(name: str) -> str:
    """The parent of a new cgroup of version 1 that counts CPU time."""
    for parent, version in _places("cpuacct"):
        if version == 1:
            with contextlib.suppress(OSError):
                os.mkdir(f"{parent}/{name}")
                _sweep(parent, name)
                return parent
    raise OSError("no cpuacct cgroup can be made")


def _places(controller: str = "memory") -> list[tuple[str, int]]:
    """Where a child of this process's cgroup for ``controller`` could be, best first."""
    mounts: dict[str, str] = {}
    places = []
    for line in _text("/proc/self/mounts").splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(","):
            mounts[controller] = target
        elif kind == "cgroup2":
            mounts.setdefault("", target)
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and controller in mounts:
            places += [(mounts[controller] + path.rstrip("/"), 1), (mounts[controller], 1)]
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
