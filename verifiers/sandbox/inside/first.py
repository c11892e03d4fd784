"""The first process of a job: it starts the program, adopts its orphans, and ends everything when the program ends."""

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
    """The ends that the job's own processes hold; all numbers are above those that a program knows.

    Attributes:
        control: a socket to the supervisor, for the first process.
        feed: where the program's process finds its job.
        stdin: and the other four, the program's own.
    """

    control: int
    feed: int
    stdin: int
    stdout: int
    stderr: int
    channel_in: int
    channel_out: int

    def arrange(self, channel: bool) -> None:
        """Put the program's where it looks for them, and close every other descriptor."""
        places = [self.stdin, self.stdout, self.stderr, *([self.channel_in, self.channel_out] if channel else [])]
        for place, fd in enumerate(places):
            os.dup2(fd, place)
        os.closerange(len(places), 256)


class FirstProcess:
    """What the supervisor's child does: the first process of a PID namespace, where there is one.

    It and the program's process are made ready before there is a job; what they read then is that job's alone.

    Args:
        pipes: to the supervisor, and for the program.
        own: whether this process has a PID namespace of its own, and may have one of mounts.
        folder: the job's working directory.
        confinement: what the program gives up.
    """

    def __init__(self, pipes: Pipes, own: bool, folder: str, confinement: Confinement) -> None:
        self._pipes, self._own, self._folder, self._confinement = pipes, own, folder, confinement

    def run(self, path: tuple[str, ...]) -> Program:
        """Return in the program's process, confined; the first process itself ends here."""
        try:
            kernel.die_with_parent()
            if self._own:
                kernel.unshare(kernel.CLONE_NEWNS)
                root.mount_for_job()
            else:
                kernel.adopt_orphans()
            program = os.fork()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
            self._fail(error)
        if program:
            self._watch(program)
        return self._become(path)

    def _become(self, path: tuple[str, ...]) -> Program:
        """In the program's process: take the job, give up all else, and close what is not the program's."""
        try:
            set_oom_score(500)
            if self._own:
                root.close_proc()
            _, payload = wire.read_frame(self._pipes.feed)
            job, (code, *contents) = wire.unpack(payload)
            if self._own:
                root.limit_disk(job["limits"]["disk"])
            os.chdir(self._folder)
            confine(job["limits"], self._confinement)
            files.put(self._folder, job["names"], contents)  # as the job's own user, by whom they are wiped
            settle(job, path)
            self._pipes.arrange(job["channel"])
        except EOFError:  # there will be no job
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        return Program(code.decode(errors="replace"))

    def _fail(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        wire.write_all(self._pipes.control, wire.frame(wire.FAILED, text.encode(errors="replace")))
        os._exit(1)

    def _watch(self, program: int) -> None:
        """Wait for the program's end, end all that it started, and report; does not return."""
        try:
            for fd in self._pipes[1:]:
                os.close(fd)
            status, seconds = _wait_for(program)
            self._end_the_rest()
            collected, contents = self._collect()
            header = {"status": status, "cpu": seconds, **collected}
            wire.write_all(self._pipes.control, wire.frame(wire.EXIT, wire.pack(header, contents)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
        os._exit(0)

    def _end_the_rest(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._own:
                os.kill(-1, signal.SIGKILL)  # in a PID namespace of its own: all but this process
        with contextlib.suppress(ChildProcessError):  # no orphan is left: all of them are this process's children
            while True:
                if os.waitpid(-1, 0 if self._own else os.WNOHANG)[0] == 0:
                    end_processes_of(self._confinement.uid, os.getpid())

    def _collect(self) -> tuple[dict[str, Any], list[bytes]]:
        """The files that the program left; the supervisor has said by now which it was given."""
        _, payload = wire.read_frame(self._pipes.control)
        said, _ = wire.unpack(payload)
        given = set(said["names"])
        if not set(os.listdir(self._folder)) - given:
            return {"names": [], "refused": {}, "full": False}, []
        return as_user(self._confinement.uid, lambda: files.collect(self._folder, given, said["most"]))


def as_user(
    uid: int | None, act: Callable[[], tuple[dict[str, Any], list[bytes]]]
) -> tuple[dict[str, Any], list[bytes]]:
    """What ``act`` returns in a child that is the user ``uid``: it can read and remove what the job could."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            wire.write_all(theirs, wire.frame(wire.EXIT, wire.pack(*act())))
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        _, payload = wire.read_frame(ours)
    finally:
        os.close(ours)
        os.waitpid(child, 0)
    return wire.unpack(payload)


def end_processes_of(uid: int | None, first: int) -> None:
    """Kill a job's processes without a PID namespace to end: those of its user, or all that descend of ``first``.

    The kernel kills all of a user at once, so that none can fork away from it; without a user of its own, one may.
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
    """How likely the kernel is to end this process for memory: the program's, rather than any of ours."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(score))


def socket_pair() -> tuple[int, int]:
    """Two connected descriptors; the C module, because ``socket`` would weigh on every fork."""
    one, other = _socket.socketpair()
    return one.detach(), other.detach()


def _wait_for(program: int) -> tuple[int, float]:
    """Its exit code (a signal's number, negative) and the CPU seconds of all that ended until then."""
    total = 0.0
    while True:
        pid, status, usage = os.wait3(0)
        total += usage.ru_utime + usage.ru_stime
        if pid == program:
            return os.waitstatus_to_exitcode(status), total
