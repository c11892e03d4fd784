"""The init process of a job: it starts the program, adopts orphans, and ends every process after the program."""

import _socket
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from . import files, kernel, root, wire
from .program import Confinement, Program, confine, settle
from .usage import descendants


class Pipes(NamedTuple):
    """The pipe ends of the job's processes; their descriptors are higher than those that the program uses.

    Attributes:
        control: a socket from the init process to the supervisor.
        feed: the pipe from which the program's process reads its job.
        stdin: the program's standard input, like the other four its standard files and its channel.
    """

    control: int
    feed: int
    stdin: int
    stdout: int
    stderr: int
    channel_in: int
    channel_out: int

    def install(self, channel: bool) -> None:
        """Move the program's descriptors to their standard numbers, and close all others."""
        places = [self.stdin, self.stdout, self.stderr, *([self.channel_in, self.channel_out] if channel else [])]
        for place, fd in enumerate(places):
            os.dup2(fd, place)
        os.closerange(len(places), 256)


class InitProcess:
    """The child of the supervisor, and the first process of the job's PID namespace, if there is one.

    This process and the program's process get ready before there is a job, so that they contain no data of other jobs.

    Args:
        pipes: the pipe ends to the supervisor and for the program.
        own: the further folders to make for the job in a mount namespace; None if this process is not in a new PID
            namespace, and may not make a mount namespace.
        folder: the working directory of the job.
        confinement: the rights that the program loses.
    """

    def __init__(self, pipes: Pipes, own: tuple[str, ...] | None, folder: str, confinement: Confinement) -> None:
        self._pipes, self._own, self._folder, self._confinement = pipes, own, folder, confinement
        self._has_namespaces = own is not None

    def run(self, path: tuple[str, ...]) -> Program:
        """Fork the program's process and return in it, confined; the init process itself ends inside this call."""
        try:
            kernel.die_with_parent()
            if self._own is not None:
                kernel.unshare(kernel.CLONE_NEWNS)
                root.mount_for_job(self._own)
            else:
                kernel.adopt_orphans()
            program = os.fork()
        except BaseException as error:  # noqa: BLE001 - every error has to be reported
            self._fail(error)
        if program:
            self._supervise(program)
        return self._become_program(path)

    def _become_program(self, path: tuple[str, ...]) -> Program:
        """In the program's process: read the job, give up all other rights, and close all other descriptors."""
        try:
            set_oom_score(500)
            if self._has_namespaces:
                root.close_proc()
            _, payload = wire.read_frame(self._pipes.feed)
            job, (code, *contents) = wire.unpack(payload)
            if self._has_namespaces:
                root.limit_disk(job["limits"]["disk"])
            os.chdir(self._folder)
            confine(job["limits"], self._confinement)
            files.write(self._folder, job["names"], contents)  # as the user of the job, who can also wipe them
            settle(job, path)
            self._pipes.install(job["channel"])
        except EOFError:  # no job comes any more
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        return Program(code.decode(errors="replace"))

    def _fail(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        wire.write_all(self._pipes.control, wire.frame(wire.FAILED, text.encode(errors="replace")))
        os._exit(1)

    def _supervise(self, program: int) -> None:
        """Wait for the program, kill all processes that it started, and report to the supervisor; does not return."""
        try:
            for fd in self._pipes[1:]:
                os.close(fd)
            status, seconds = _wait_for(program)
            self._kill_remaining()
            collected, contents = self._collect()
            header = {"status": status, "cpu": seconds, **collected}
            wire.write_all(self._pipes.control, wire.frame(wire.EXIT, wire.pack(header, contents)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        os._exit(0)

    def _kill_remaining(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._has_namespaces:
                os.kill(-1, signal.SIGKILL)  # in the PID namespace: every process but this one
        with contextlib.suppress(ChildProcessError):  # until no orphan is left: all are children of this process
            while True:
                if os.waitpid(-1, 0 if self._has_namespaces else os.WNOHANG)[0] == 0:
                    end_processes_of(self._confinement.uid, os.getpid())

    def _collect(self) -> tuple[dict[str, Any], list[bytes]]:
        """Collect the files that the program left; the supervisor has sent the names of those that it was given."""
        _, payload = wire.read_frame(self._pipes.control)
        said, _ = wire.unpack(payload)
        given = set(said["names"])
        if not set(os.listdir(self._folder)) - given:
            return {"names": [], "refused": {}, "full": False}, []
        return as_user(self._confinement.uid, lambda: files.collect(self._folder, given, said["most"]))


def as_user(
    uid: int | None, act: Callable[[], tuple[dict[str, Any], list[bytes]]]
) -> tuple[dict[str, Any], list[bytes]]:
    """Run ``act`` in a child as user ``uid``, who can read and remove the files of the job; return its result."""
    parent_end, child_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            wire.write_all(child_end, wire.frame(wire.EXIT, wire.pack(*act())))
        finally:
            os._exit(0)
    os.close(child_end)
    try:
        _, payload = wire.read_frame(parent_end)
    finally:
        os.close(parent_end)
        os.waitpid(child, 0)
    return wire.unpack(payload)


def end_processes_of(uid: int | None, first: int) -> None:
    """Kill a job's processes without a PID namespace: those of its user ``uid``, or all descendants of ``first``.

    The kernel kills all processes of a user at once, so that none can escape by forking. Without a separate user, one
    may escape.
    """
    if uid is None:
        for pid in descendants(first):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return
    child = os.fork()
    if not child:
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def set_oom_score(score: int) -> None:
    """Set how likely the kernel is to kill this process for memory: the program's process comes before all others."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(score))


def socket_pair() -> tuple[int, int]:
    """Two connected descriptors. Uses the C module, because importing ``socket`` would slow every fork down."""
    one, other = _socket.socketpair()
    return one.detach(), other.detach()


def _wait_for(program: int) -> tuple[int, float]:
    """The program's exit code (a negative signal number) and the CPU seconds of all processes that ended until then."""
    total = 0.0
    while True:
        pid, status, usage = os.wait3(0)
        total += usage.ru_utime + usage.ru_stime
        if pid == program:
            return os.waitstatus_to_exitcode(status), total
