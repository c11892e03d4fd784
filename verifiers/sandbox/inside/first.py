"""The first process of a job: it starts the program, adopts its orphans, and ends everything when the program ends."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import files, kernel, root, wire
from .program import Confinement, Program, confine, settle
from .usage import descendants, processes_of


@dataclass(frozen=True)
class Pipes:
    """The ends that the job's own processes hold."""

    stdin: int
    stdout: int
    stderr: int
    channel_in: int
    channel_out: int

    def arrange(self, channel: bool) -> None:
        """Put them where a program looks for them, and close every other descriptor."""
        for fd, place in ((self.stdin, 0), (self.stdout, 1), (self.stderr, 2)):
            os.dup2(fd, place)
        kept = 3
        if channel:
            os.dup2(self.channel_in, 3)
            os.dup2(self.channel_out, 4)
            kept = 5
        os.closerange(kept, 256)


class FirstProcess:
    """What the supervisor's child does: the first process of a PID namespace, where there is one.

    Args:
        control: a socket to the supervisor: the job comes in, its end goes out.
        pipes: for the program; all numbers are above 10.
        own: whether this process has PID and mount namespaces of its own.
        folder: the job's working directory.
        confinement: what the program gives up.
    """

    def __init__(self, control: int, pipes: Pipes, own: bool, folder: str, confinement: Confinement) -> None:
        self._control, self._pipes, self._own = control, pipes, own
        self._folder, self._confinement = folder, confinement

    def run(self, path: list[str]) -> Program:
        """Return in the program's process, confined; the first process itself ends here."""
        try:
            kernel.die_with_parent()
            if not self._own:
                kernel.adopt_orphans()
            _, payload = wire.read_frame(self._control)
            job, blobs = wire.unpack(payload)
            if self._own:
                kernel.unshare(kernel.CLONE_NEWNS)
                root.mount_for_job(job["limits"]["disk"])
            code, *contents = blobs
            if job["names"]:  # as the job's own user, who may change them, and by whom they are wiped
                as_user(self._confinement.uid, lambda: files.put(self._folder, job["names"], contents))
            _set_oom_score(-800)
            program = os.fork()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
            self._fail(error)
        if program:
            self._watch(program, job)
        return self._become(job, code.decode(errors="replace"), path)

    def _become(self, job: dict[str, Any], source: str, path: list[str]) -> Program:
        """In the program's process: confine it, and leave nothing open but what is the program's."""
        try:
            _set_oom_score(500)
            os.chdir(self._folder)
            confine(job["limits"], self._confinement)
            settle(job, path)
            self._pipes.arrange(job["channel"])
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        return Program(source)

    def _fail(self, error: BaseException) -> None:
        wire.write_all(self._control, wire.frame(wire.FAILED, f"{type(error).__name__}: {error}".encode()))
        os._exit(1)

    def _watch(self, program: int, job: dict[str, Any]) -> None:
        """Wait for the program's end, end all that it started, and report; does not return."""
        try:
            for fd in (self._pipes.stdout, self._pipes.stderr, self._pipes.channel_in, self._pipes.channel_out):
                os.close(fd)
            status, usage = _wait_for(program)
            self._end_the_rest()
            collected, contents = self._collect(job)
            header = {"status": status, "cpu": usage, **collected}
            wire.write_all(self._control, wire.frame(wire.EXIT, wire.pack(header, contents)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        os._exit(0)

    def _end_the_rest(self) -> None:
        if self._own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)  # in a PID namespace of its own: all but this process
        else:
            end_processes_of(self._confinement.uid, os.getpid())
        while True:
            try:
                os.wait()
            except ChildProcessError:
                return

    def _collect(self, job: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        given = set(job["names"])
        if not set(os.listdir(self._folder)) - given:
            return {"names": [], "refused": {}, "full": False}, []
        limit = job["limits"]["output"]
        return as_user(self._confinement.uid, lambda: files.collect(self._folder, given, limit))


def as_user(
    uid: int | None, act: Callable[[], tuple[dict[str, Any], list[bytes]]]
) -> tuple[dict[str, Any], list[bytes]]:
    """What ``act`` returns in a child that is the user ``uid``: it can read and remove what the job could."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            wire.write_all(theirs.fileno(), wire.frame(wire.EXIT, wire.pack(*act())))
        finally:
            os._exit(0)
    theirs.close()
    try:
        _, payload = wire.read_frame(ours.fileno())
    finally:
        ours.close()
        os.waitpid(child, 0)
    return wire.unpack(payload)


def end_processes_of(uid: int | None, first: int) -> None:
    """Kill a job's processes without a PID namespace to end: those of its user, or all that descend of ``first``.

    Without a user of its own, what forks fast enough may get away.
    """
    if uid is None:
        for pid in descendants(first):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return
    while processes_of(uid):
        child = os.fork()
        if not child:
            try:
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.kill(-1, signal.SIGKILL)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def _wait_for(program: int) -> tuple[int, float]:
    """Its exit code (a signal's number, negative) and the CPU seconds of all that ended until then."""
    total = 0.0
    while True:
        pid, status, usage = os.wait3(0)
        total += usage.ru_utime + usage.ru_stime
        if pid == program:
            return os.waitstatus_to_exitcode(status), total


def _set_oom_score(score: int) -> None:
    """How likely the kernel is to kill this process for memory: the program before the agent and the first process."""
    if sys.platform != "linux":
        return
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:  # without the right to, it counts like the others
        return
