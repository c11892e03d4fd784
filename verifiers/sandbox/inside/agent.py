"""The agent: a process, or the one process of a container, that runs jobs one after the other."""

import binascii
import builtins
import gc
import importlib
import json
import os
import sys
from typing import NamedTuple

from . import kernel, root, wire
from .cgroup import Cgroup, ContainerGroup, Group
from .channel import PARENT_IN, tell
from .first import set_oom_score
from .program import Confinement, Program
from .supervisor import CLOSED, Place, Supervisor

_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_USERS = (0x7000_0000, 0x0100_0000)
"""The first of the numbers from which a job's user is chosen, and how many there are."""
_HOST_PID = os.getpid()
_FEW_USERS = (20_000, 40_000)
"""The same where there are no more than the usual 65,536."""
_WARM = "bisect collections functools heapq itertools json math operator re string typing"
"""What programs import most: here once, rather than in every job. All of it weighs on every fork."""


class Setup(NamedTuple):
    """What the parent asks for.

    Attributes:
        container: whether a container holds the agent, with namespaces and a memory limit of its own.
        network: whether jobs reach the network.
        path: folders of Python packages for jobs to import.
        filters: machine → ``full`` and ``single`` → BPF program in base64; ``single`` allows no child processes.
    """

    container: bool
    network: bool
    path: list[str]
    filters: dict[str, dict[str, str]]


def main() -> Program:
    """Read the set-up from the parent, then run jobs; returns in a job's own process, which is to run the program."""
    kind, payload = wire.read_frame(PARENT_IN)
    if kind != wire.SETUP:
        raise ValueError(f"a set-up was expected, found frame {kind!r}")
    setup = Setup(**json.loads(payload))
    importlib.invalidate_caches()
    _warm_up()
    missing: dict[str, str] = {}
    if setup.container:
        return _serve(setup, _container_group(missing), True, missing)
    group = _make_cgroup(missing)
    return _serve(setup, group, _enter_namespaces(setup, group, missing), missing)


def _serve(setup: Setup, group: Group | None, held: bool, missing: dict[str, str]) -> Program:
    """Run jobs until the parent closes the connection."""
    uid = _choose_user(setup.container)
    if uid is None:
        missing["user"] = "not root: jobs have no user of their own"
    filters = setup.filters.get(os.uname().machine, {})
    if not filters:
        missing["seccomp"] = f"no list of system calls for {os.uname().machine}"
    limited = group is not None
    chosen = filters.get("full" if limited and uid is not None else "single", "")
    confinement = Confinement(uid, binascii.a2b_base64(chosen), not limited, held and uid is None)
    namespaces = held and not setup.container
    folder = root.BOX if held else _make_folder()
    if isinstance(group, Cgroup):
        group.join()
    set_oom_score(-1000)
    writable = () if namespaces else (*root.WRITABLE, "/var/tmp") if held else (folder,)
    place = Place(namespaces, folder, writable, (*sys.path, *_package_path(setup, namespaces)), group)
    tell(wire.READY, json.dumps({"missing": missing}).encode())
    kernel.show_in_proc(own_user=False)
    number = 0
    begin = int.from_bytes(os.urandom(2), "big")  # the kernel counts a user's processes over all containers
    while True:
        supervisor = os.fork()
        if not supervisor:
            if namespaces:
                kernel.die_with_parent()
            if setup.container and uid is not None:  # what one job left behind is not the next one's
                confinement = confinement._replace(uid=uid + (begin + number) % _FEW_USERS[1])
            return Supervisor(place, confinement).run()
        number += 1
        status = _wait_for(supervisor)
        if status != 0:
            if not held:
                _remove_folder(folder)
            if isinstance(group, Cgroup) and not namespaces:
                group.remove()
            os._exit(0 if status == CLOSED else 1)


def _package_path(setup: Setup, namespaces: bool) -> list[str]:
    """Where jobs find the packages."""
    return [f"{root.PACKAGES}/{number}" if namespaces else folder for number, folder in enumerate(setup.path)]


def _wait_for(supervisor: int) -> int:
    """Its exit code; other children of this process are orphans of jobs."""
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            return os.waitstatus_to_exitcode(status)


def _choose_user(container: bool) -> int | None:
    """The number of a user that nobody else is, None where this process cannot become another."""
    if os.getuid() != 0:
        return None
    with open("/proc/self/uid_map") as file:
        mapped = max(int(line.split()[0]) + int(line.split()[2]) for line in file)
    first, count = _USERS if mapped > sum(_USERS) and not container else _FEW_USERS
    return first + _HOST_PID % count if not container else first


def _make_cgroup(missing: dict[str, str]) -> Cgroup | None:
    try:
        return Cgroup(f"lachesis-{_HOST_PID}")
    except OSError as error:
        missing["memory"] = str(error)
        return None


def _container_group(missing: dict[str, str]) -> ContainerGroup | None:
    try:
        return ContainerGroup()
    except OSError as error:
        missing["memory"] = str(error)
        return None


def _enter_namespaces(setup: Setup, group: Cgroup | None, missing: dict[str, str]) -> bool:
    """Whether this is a process in namespaces and a root of its own; False where there is none, with the reason.

    Where there is one, the process that called waits for its end, tidies up and ends too.
    """
    report, answer = os.pipe()
    outside = os.fork()
    if not outside:
        os.close(report)
        try:
            kernel.die_with_parent()
            _unshare(setup.network)
            inside = os.fork()
            if not inside:
                kernel.die_with_parent()
                root.build([f"{sys.base_prefix}/bin", f"{sys.base_prefix}/lib"], setup.path)
                os.close(answer)
                return True
            os.close(answer)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) & 0xFF)
        except OSError as error:
            os.write(answer, str(error).encode())
            os._exit(1)
    os.close(answer)
    with open(report, "rb") as file:
        reason = file.read().decode()
    if reason:
        os.waitpid(outside, 0)
        missing["namespaces"] = reason
        return False
    status = os.waitstatus_to_exitcode(os.waitpid(outside, 0)[1])
    if group is not None:
        group.remove()
    os._exit(status & 0xFF)


def _unshare(network: bool) -> None:
    """Leave the host's namespaces for new ones; without root, in a user namespace of its own."""
    uid, gid = os.getuid(), os.getgid()
    flags = _NAMESPACES | (0 if network else kernel.CLONE_NEWNET) | (kernel.CLONE_NEWUSER if uid else 0)
    kernel.unshare(flags)
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    kernel.set_host_name("sandbox")
    if not network:
        kernel.bring_up_loopback()
        kernel.forget_connections()


def _make_folder() -> str:
    import tempfile  # where jobs have no file system of their own; it would weigh on every fork

    folder = tempfile.mkdtemp(prefix="lachesis-")
    os.chmod(folder, 0o1777)
    return folder


def _remove_folder(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _warm_up() -> None:
    """Import what programs need most, add the names that ``site`` would, and share all of it with them."""
    for name in _WARM.split():
        importlib.import_module(name)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    gc.collect()
    gc.freeze()
