"""The resource usage of the running processes of a job, read from /proc."""

import os
import time
from typing import NamedTuple

from .cgroup import Group

_TICK = os.sysconf("SC_CLK_TCK")
_LONGEST_WAIT = 1.0
"""Seconds: the kernel reports the waiting time of a thread only when it runs again, and then for several looks."""


class Consumed(NamedTuple):
    """Seconds that a job has used.

    Attributes:
        cpu: CPU time of all processes, including ended ones.
        waited: time in which a thread was ready to run, and processes outside the job kept it from a CPU.
    """

    cpu: float = 0.0
    waited: float = 0.0


class Meter:
    """Measures the usage of the descendants of a process at regular looks.

    Args:
        first: the id of the process.
        group: the cgroup of the descendants and of this process; without one, a job cannot have child processes.
    """

    def __init__(self, first: int, group: Group | None) -> None:
        self._first, self._group = first, group
        self._begin_cpu = group.cpu - time.process_time() if group else 0.0
        self._last_scheduled: dict[tuple[int, str], tuple[float, float]] = {}
        self._last_look = time.monotonic()
        self._ready_seconds = self._ran_seconds = self._open_seconds = 0.0
        self._cpus = len(os.sched_getaffinity(0))

    def look(self) -> Consumed:
        """The usage since this meter was made.

        Between two looks, the thread that was ready longest counts. For a part of that time it ran. For another part it
        may have waited for other threads of the job, but then these kept every CPU busy, which bounds that part.
        """
        processes = descendants(self._first)
        tasks = {(pid, task): _scheduled(pid, task) for pid in processes for task in _list(f"/proc/{pid}/task")}
        now = time.monotonic()
        since = [
            _difference(scheduled, self._last_scheduled.get(task, (0.0, 0.0))) for task, scheduled in tasks.items()
        ]
        ran, waited = max(since, key=sum, default=(0.0, 0.0))
        self._open_seconds = min(self._open_seconds + now - self._last_look, _LONGEST_WAIT)
        ready = min(ran + waited, self._open_seconds)
        self._open_seconds -= ready
        self._ready_seconds += ready
        self._ran_seconds += ran
        self._last_scheduled, self._last_look = tasks, now
        if self._group:
            cpu = self._group.cpu - time.process_time() - self._begin_cpu
        else:
            cpu = _cpu_seconds(self._first)[1] + sum(sum(_cpu_seconds(pid)) for pid in processes)
        return Consumed(max(0.0, cpu), max(0.0, self._ready_seconds - max(self._ran_seconds, cpu / self._cpus)))


def descendants(first: int) -> list[int]:
    """The descendants of process ``first``, parents before children."""
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


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """CPU seconds (of the process, of the children that it waited for), 0 if it has ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 15:
        return 0.0, 0.0
    user, system, children_user, children_system = map(int, fields[11:15])
    return (user + system) / _TICK, (children_user + children_system) / _TICK


def _scheduled(pid: int, task: str) -> tuple[float, float]:
    """Seconds in which a thread (ran, was ready but did not run)."""
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
