"""What the processes of a job have taken so far, read from /proc."""

import os
import time
from typing import NamedTuple

from .cgroup import Group

_TICK = os.sysconf("SC_CLK_TCK")
_LONGEST_WAIT = 1.0
"""Seconds: the kernel says that a thread waited only when it runs again, and so of some looks' time at once."""


class Taken(NamedTuple):
    """Seconds.

    Attributes:
        cpu: CPU time of all processes, the ended ones included.
        waited: in which a thread was ready to run, and had no CPU for reasons outside of the job.
    """

    cpu: float = 0.0
    waited: float = 0.0


class Meter:
    """Counts what the descendants of process ``first`` take, look by look.

    Args:
        first: the process.
        group: the cgroup that they are in, together with this process; where there is none, children are not allowed.
    """

    def __init__(self, first: int, group: Group | None) -> None:
        self._first, self._group = first, group
        self._begin = group.cpu - time.process_time() if group else 0.0
        self._seen: dict[tuple[int, str], tuple[float, float]] = {}
        self._looked = time.monotonic()
        self._ready = self._ran = self._open = 0.0
        self._cpus = len(os.sched_getaffinity(0))

    def look(self) -> Taken:
        """What they have taken since this was made.

        Between two looks the thread that was ready longest counts. In some of that time it ran, and in some it waited
        for others of the job, which all together would have to keep every CPU busy for that.
        """
        processes = descendants(self._first)
        tasks = {(pid, task): _scheduled(pid, task) for pid in processes for task in _list(f"/proc/{pid}/task")}
        now = time.monotonic()
        since = [_difference(scheduled, self._seen.get(task, (0.0, 0.0))) for task, scheduled in tasks.items()]
        ran, waited = max(since, key=sum, default=(0.0, 0.0))
        self._open = min(self._open + now - self._looked, _LONGEST_WAIT)
        ready = min(ran + waited, self._open)
        self._open -= ready
        self._ready += ready
        self._ran += ran
        self._seen, self._looked = tasks, now
        if self._group:
            cpu = self._group.cpu - time.process_time() - self._begin
        else:
            cpu = _cpu(self._first)[1] + sum(sum(_cpu(pid)) for pid in processes)
        return Taken(max(0.0, cpu), max(0.0, self._ready - max(self._ran, cpu / self._cpus)))


def descendants(first: int) -> list[int]:
    """The processes that process ``first`` started, and those that they started, parents before children."""
    found = _children(first)
    for pid in found:
        found += _children(pid)
    return found


def processes_of(uid: int) -> list[int]:
    """The processes of user ``uid`` that have not ended."""
    return [int(name) for name in _list("/proc") if name.isdigit() and _is_alive_as(uid, name)]


def _is_alive_as(uid: int, pid: str) -> bool:
    fields = dict(line.split(":", 1) for line in _read(f"/proc/{pid}/status").splitlines() if ":" in line)
    return fields.get("State", " Z").split()[0] not in "ZX" and str(uid) in fields.get("Uid", "").split()


def _cpu(pid: int) -> tuple[float, float]:
    """(of the process itself, of its children that it waited for), 0 where it has ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 15:
        return 0.0, 0.0
    user, system, children_user, children_system = map(int, fields[11:15])
    return (user + system) / _TICK, (children_user + children_system) / _TICK


def _scheduled(pid: int, task: str) -> tuple[float, float]:
    """Seconds in which a thread (ran, was ready and did not run)."""
    fields = _read(f"/proc/{pid}/task/{task}/schedstat").split()
    return (int(fields[0]) / 1e9, int(fields[1]) / 1e9) if len(fields) > 1 else (0.0, 0.0)


def _difference(now: tuple[float, float], before: tuple[float, float]) -> tuple[float, float]:
    return max(0.0, now[0] - before[0]), max(0.0, now[1] - before[1])


def _children(pid: int) -> list[int]:
    found = []
    for task in _list(f"/proc/{pid}/task"):
        found += [int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split()]
    return found


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # it has ended
        return []


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # it has ended, or this kernel has no such file
        return ""
