"""What the processes of a job have taken so far, read from /proc."""

import os
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")


class Taken(NamedTuple):
    """Seconds.

    Attributes:
        cpu: CPU time of all processes, the ended ones that were waited for included.
        waited: the longest that a thread was ready to run and had no CPU.
    """

    cpu: float = 0.0
    waited: float = 0.0


def taken_by(first: int) -> Taken:
    """What the descendants of process ``first`` have taken, and those of its children that have ended."""
    cpu, waited = _cpu(first)[1], 0.0
    for pid in descendants(first):
        cpu += sum(_cpu(pid))
        waited = max([waited, *(_waited(pid, task) for task in _list(f"/proc/{pid}/task"))])
    return Taken(cpu, waited)


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


def _waited(pid: int, task: str) -> float:
    fields = _read(f"/proc/{pid}/task/{task}/schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


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
