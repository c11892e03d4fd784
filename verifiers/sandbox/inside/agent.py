"""The agent: a process on the host or in a container that runs jobs one after the other."""

import binascii
import builtins
import gc
import importlib
import json
import os
import sys
from typing import NamedTuple

from . import kernel, network, root, wire
from .cgroup import Cgroup, ContainerGroup, Group
from .channel import PARENT_IN, send_to_parent
from .init_process import set_oom_score
from .program import Confinement, Program
from .supervisor import CLOSED, NETWORK_USED, JobEnvironment, Supervisor

_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_USER_IDS = (0x7000_0000, 0x0100_0000)
"""The range from which the user id of jobs is chosen: its first number and its length."""
_HOST_PID = os.getpid()
_FEW_USER_IDS = (20_000, 40_000)
"""The same range on systems that map only the usual 65,536 user ids."""
_PRELOADED = "bisect collections functools heapq itertools json math operator re string typing"
"""The modules that programs import most; the agent imports them once. Each one makes every fork slower."""


class Setup(NamedTuple):
    """The set-up that the parent asks for.

    Attributes:
        container: whether the agent runs in a container, which has its own namespaces and memory limit.
        network: whether jobs may use the network.
        path: folders of Python packages that jobs may import.
        folders: folders that jobs may read at their own paths.
        writable: further folders that each job may write.
        filters: machine → ``full``, ``unlocked`` and ``single`` → BPF program in base64. ``single`` allows no child
            processes, and like ``unlocked`` no locks and watches of files.
    """

    container: bool
    network: bool
    path: list[str]
    folders: list[str]
    writable: list[str]
    filters: dict[str, dict[str, str]]


def main() -> Program:
    """Read the set-up from the parent, then run jobs; returns only in a job's process, which then runs the program."""
    kind, payload = wire.read_frame(PARENT_IN)
    if kind != wire.SETUP:
        raise ValueError(f"a set-up was expected, found frame {kind!r}")
    setup = Setup(**json.loads(payload))
    importlib.invalidate_caches()
    _preload_modules()
    missing: dict[str, str] = {}
    if setup.container:
        return _serve(setup, _container_group(missing), True, missing)
    group = _make_cgroup(missing)
    return _serve(setup, group, _enter_namespaces(setup, group, missing), missing)


def _serve(setup: Setup, group: Group | None, confined: bool, missing: dict[str, str]) -> Program:
    """Run jobs until the parent closes the connection."""
    uid = _choose_user(setup.container)
    if uid is None:
        missing["user"] = "not root: jobs have no user of their own"
    filters = setup.filters.get(os.uname().machine, {})
    if not filters:
        missing["seccomp"] = f"no list of system calls for {os.uname().machine}"
    limited = group is not None
    several = "full" if confined and "private files" not in missing else "unlocked"
    chosen = filters.get(several if limited and uid is not None else "single", "")
    confinement = Confinement(uid, binascii.a2b_base64(chosen), not limited, confined and uid is None)
    namespaces = confined and not setup.container
    folder = root.BOX if confined else _make_folder()
    if isinstance(group, Cgroup):
        group.join()
    set_oom_score(-1000)
    writable = () if namespaces else (*root.WRITABLE, "/var/tmp") if confined else (folder,)
    path = (*sys.path, *_package_path(setup, namespaces))
    traces = network.Traces() if confined and not setup.network else None
    environment = JobEnvironment(namespaces, folder, writable, path, group, traces, tuple(setup.writable))
    send_to_parent(wire.READY, json.dumps({"missing": missing}).encode())
    kernel.show_in_proc(own_user=False)
    number = 0
    begin = int.from_bytes(os.urandom(2), "big")  # the kernel counts the processes of a user over all containers
    while True:
        supervisor = os.fork()
        if not supervisor:
            if namespaces:
                kernel.die_with_parent()
            if setup.container and uid is not None:  # so that the next job cannot use what this job left
                confinement = confinement._replace(uid=uid + (begin + number) % _FEW_USER_IDS[1])
            return Supervisor(environment, confinement).run()
        number += 1
        status = _wait_for(supervisor)
        if status == NETWORK_USED and environment.traces is not None:
            environment.traces.close()
            network.renew()
            environment = environment._replace(traces=network.Traces())
        elif status != 0:
            if not confined:
                _remove_folder(folder)
            if isinstance(group, Cgroup) and not namespaces:
                group.remove()
            os._exit(0 if status == CLOSED else 1)


def _package_path(setup: Setup, namespaces: bool) -> list[str]:
    """The paths at which jobs find the packages."""
    return [f"{root.PACKAGES}/{number}" if namespaces else folder for number, folder in enumerate(setup.path)]


def _wait_for(supervisor: int) -> int:
    """Wait for the supervisor and return its exit code; other children of this process are orphans of jobs."""
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            return os.waitstatus_to_exitcode(status)


def _choose_user(container: bool) -> int | None:
    """A user id that nobody else uses, None if this process cannot change its user."""
    if os.getuid() != 0:
        return None
    with open("/proc/self/uid_map") as file:
        mapped = max(int(line.split()[0]) + int(line.split()[2]) for line in file)
    first, count = _USER_IDS if mapped > sum(_USER_IDS) and not container else _FEW_USER_IDS
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
    """Continue in a new process with its own namespaces and root, and return True there.

    The calling process then waits for the end of the new one, cleans up, and exits. If the kernel refuses namespaces,
    return False in the calling process, with the reason in ``missing``.
    """
    report, answer = os.pipe()
    outside = os.fork()
    if not outside:
        os.close(report)
        try:
            kernel.die_with_parent()
            _unshare()
            inside = os.fork()
            if not inside:
                kernel.die_with_parent()
                shared = root.build(
                    [f"{sys.base_prefix}/bin", f"{sys.base_prefix}/lib", *setup.folders], setup.path, setup.writable
                )
                if shared:
                    missing["private files"] = shared
                if not setup.network:
                    network.renew()
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


def _unshare() -> None:
    """Move to new namespaces; without root, also to a new user namespace."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(_NAMESPACES | (kernel.CLONE_NEWUSER if uid else 0))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    kernel.set_host_name("sandbox")


def _make_folder() -> str:
    import tempfile  # needed only without a mount namespace; at the top it would slow every fork down

    folder = tempfile.mkdtemp(prefix="lachesis-")
    os.chmod(folder, 0o1777)
    return folder


def _remove_folder(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _preload_modules() -> None:
    """Import the most common modules, add the names that ``site`` adds, and share the memory of both with all jobs."""
    for name in _PRELOADED.split():
        importlib.import_module(name)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    gc.collect()
    gc.freeze()
