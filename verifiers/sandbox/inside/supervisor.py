"""The process that stands beside one job: it carries bytes, counts time, ends the job, and says how it went."""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from typing import Any, NamedTuple

from . import kernel, wire
from .cgroup import Group
from .channel import PARENT_IN, Channel, tell
from .files import wipe
from .first import FirstProcess, Pipes, as_user, end_processes_of, socket_pair
from .program import Confinement, Program
from .usage import Meter, Taken, processes_of

CLOSED, DIRTY = 10, 11
"""Exit codes of a supervisor: the parent has closed the connection; something of the job is left."""

_TICK = 0.05
_END_OF_CHANNEL = 2.0
_OWN_MEMORY = 24 << 20
"""Bytes that the supervisor and the first process themselves may take, beside what they hold for the job."""


class Place(NamedTuple):
    """Where the jobs of an agent run.

    Attributes:
        namespaces: whether each has PID and mount namespaces of its own.
        folder: their working directory.
        writable: folders to wipe after each; none where its namespaces take them along.
        path: folders of modules.
        group: the cgroup, None where there is none.
    """

    namespaces: bool
    folder: str
    writable: tuple[str, ...]
    path: tuple[str, ...]
    group: Group | None


class _Stream:
    """What a job wrote on one pipe, up to a limit; the rest is read and thrown away."""

    def __init__(self, fd: int, most: int) -> None:
        self.fd, self.most = fd, most
        self.data = bytearray()
        self.truncated = False

    def read(self) -> bool:
        """Take what is there; False at its end. Raises ``BlockingIOError`` where there is nothing."""
        part = os.read(self.fd, 1 << 16)
        room = self.most - len(self.data)
        self.data += part[:room]
        self.truncated |= len(part) > room
        return bool(part)


class Supervisor:
    """Supervises one job, from before it is known until its execution is written to the parent."""

    def __init__(self, place: Place, confinement: Confinement) -> None:
        self._place, self._confinement = place, confinement
        self._verdict = ("", "")  # (status, reason) where we ended the job
        self._taken = Taken()
        self._waited_before = 0.0  # the end of its channel
        self._channel: Channel | None = None
        self._reported = False  # whether the first process said how the job ended, when nothing of it was left

    def run(self) -> Program:
        """Return in the program's process; the supervisor itself ends here."""
        try:
            theirs = self._open()
            if self._place.namespaces:
                kernel.unshare(kernel.CLONE_NEWPID)
            self._first = os.fork()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            self._fail(error)
        if not self._first:
            for fd in self._ours:
                os.close(fd)
            return FirstProcess(theirs, self._place.namespaces, self._place.folder, self._confinement).run(
                self._place.path
            )
        try:
            for fd in theirs:
                if fd != self._stdin:
                    os.close(fd)
            self._supervise()
        except EOFError:
            self._end_job()
            os._exit(CLOSED)
        except BaseException as error:  # noqa: BLE001 - as above
            self._end_job()
            self._fail(error)
        raise AssertionError("not reached")

    def _open(self) -> Pipes:
        """Every pipe of the job; the ends of the first process and the program."""
        self._control, control = socket_pair()
        (feed, self._feed), (down, self._down) = os.pipe(), os.pipe()
        (self._out, out), (self._err, err), (self._up, up) = os.pipe(), os.pipe(), os.pipe()
        for fd in (self._out, self._err, self._up):
            os.set_blocking(fd, False)
        self._stdin = _raised(os.memfd_create("stdin") if sys.platform == "linux" else _temporary_file())
        self._ours = (self._control, self._feed, self._down, self._out, self._err, self._up)
        return Pipes(_raised(control), _raised(feed), self._stdin, *(_raised(fd) for fd in (out, err, down, up)))

    def _supervise(self) -> None:
        job, blobs = self._receive()
        self._limits = job["limits"]
        files = {"names": job["names"], "most": self._limits["output"]}
        wire.write_all(self._control, wire.frame(wire.JOB, wire.pack(files)))
        self._meter = Meter(self._first, self._place.group)
        self._start = time.monotonic()
        wire.write_all(self._feed, wire.frame(wire.JOB, wire.pack(job, blobs)))
        os.close(self._feed)
        exit_header, contents = self._watch(job["channel"])
        wall = time.monotonic() - self._start
        self._end_job()
        self._drain()
        clean = self._clean_up()
        tell(wire.EXECUTION, self._execution(exit_header, contents, wall))
        os._exit(0 if clean else DIRTY)

    def _receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The job, and all that is given to it but its stdin, which is where it will read it."""
        kind, size = wire.read_head(PARENT_IN)
        while kind != wire.JOB:  # lines for a job that had ended when they came
            wire.read_exactly(PARENT_IN, size)
            kind, size = wire.read_head(PARENT_IN)
        if self._place.group is not None:
            self._place.group.make_room(4 * size + _OWN_MEMORY)
        job, (stdin, *blobs) = wire.unpack(wire.read_exactly(PARENT_IN, size))
        _write_at_start(self._stdin, stdin)
        os.close(self._stdin)
        del stdin
        if self._place.group is not None:
            held = 2 * (size + job["limits"]["output"])
            self._place.group.prepare(job["limits"]["memory"] + held + _OWN_MEMORY)
        return job, blobs

    def _watch(self, channel: bool) -> tuple[dict[str, Any] | None, list[bytes]]:
        """Carry bytes until the job ends, and how it ended: None where we ended it."""
        output = self._limits["output"]
        self._streams = {fd: _Stream(fd, output) for fd in (self._out, self._err)}
        poller = select.poll()
        for fd in (*self._streams, self._control, PARENT_IN):
            poller.register(fd, select.POLLIN)
        lines = self._channel = Channel(self._down, self._up, poller) if channel else None
        next_look = self._start + _TICK
        while True:
            for fd, event in poller.poll(max(0.0, next_look - time.monotonic()) * 1000):
                if fd == self._control:
                    return self._read_end()
                if fd in self._streams:
                    with contextlib.suppress(BlockingIOError):  # a job of our own user can read it before us
                        if not self._streams[fd].read():
                            poller.unregister(fd)
                elif lines is None:
                    wire.read_frame(PARENT_IN)  # raises where the parent has closed
                elif fd == PARENT_IN:
                    lines.take()
                else:
                    lines.act(fd, event)
            if time.monotonic() >= next_look:
                if self._is_out_of_time():
                    return None, []
                next_look = time.monotonic() + _TICK

    def _read_end(self) -> tuple[dict[str, Any] | None, list[bytes]]:
        """The first process's report."""
        try:
            kind, payload = wire.read_frame(self._control)
        except (EOFError, ConnectionResetError):  # it was killed, for memory as a rule
            if self._place.group is None or not self._place.group.ran_out:
                self._verdict = ("infra_error", "the job's first process was killed")
            return None, []
        if kind == wire.FAILED:
            self._verdict = ("infra_error", f"the job could not be started: {payload.decode(errors='replace')}")
            return None, []
        self._reported = True
        return wire.unpack(payload)

    def _is_out_of_time(self) -> bool:
        self._taken = self._meter.look()
        wall, cpu = self._limits["wall"], self._limits["cpu"]
        elapsed = time.monotonic() - self._start
        if self._place.group is not None and self._place.group.ran_out:
            self._verdict = ("oom", self._out_of_memory)
        elif self._taken.cpu > cpu:
            self._verdict = ("timeout", f"took more than {cpu:g} s of CPU time")
        elif elapsed - self._taken.waited > wall:
            self._verdict = ("timeout", f"took more than {wall:g} s")
        elif elapsed > wire.HARD * wall:
            self._verdict = (
                "infra_error",
                f"{wire.OVERLOADED}: {self._taken.cpu:.3g} s of CPU time in {elapsed:.3g} s",
            )
        elif self._waits_at_end():
            self._verdict = ("timeout", f"did not end within {_END_OF_CHANNEL:g} s after its channel was closed")
        return bool(self._verdict[0])

    def _waits_at_end(self) -> bool:
        closed_at = self._channel.closed_at if self._channel else None
        if closed_at is None:
            self._waited_before = self._taken.waited
            return False
        waited = min(self._taken.waited - self._waited_before, (wire.HARD - 1) * _END_OF_CHANNEL)
        return time.monotonic() - closed_at - waited > _END_OF_CHANNEL

    def _end_job(self) -> None:
        """No process of the job is left after this."""
        apart = not self._place.namespaces and not self._reported
        if apart and self._confinement.uid is None:
            end_processes_of(None, self._first)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._first, 0)  # returns when every process of its PID namespace has ended
        uid = self._confinement.uid
        if apart and uid is not None:
            end_processes_of(uid, self._first)
            while processes_of(uid):  # the last of them are about to end
                end_processes_of(uid, self._first)

    def _drain(self) -> None:
        """Take what is left in the pipes: no process holds their other ends any more."""
        for stream in self._streams.values():
            with contextlib.suppress(BlockingIOError):
                while stream.read():
                    pass
        if self._channel is not None:
            self._channel.finish()

    def _clean_up(self) -> bool:
        if not any(os.listdir(folder) for folder in self._place.writable):
            return True
        header, _ = as_user(self._confinement.uid, lambda: ({"clean": wipe(list(self._place.writable))}, []))
        return bool(header["clean"])

    def _execution(self, end: dict[str, Any] | None, contents: list[bytes], wall: float) -> bytes:
        out, err = (self._streams[fd] for fd in (self._out, self._err))
        end = end or {"status": None, "cpu": self._taken.cpu, "names": [], "refused": {}, "full": False}
        status, reason = self._status(end["status"], bytes(err.data[-200:]))
        full = {"stdout": out.truncated, "stderr": err.truncated, "files": end["full"]}
        header = {
            "status": status,
            "reason": reason,
            "code": end["status"],
            "truncated": [name for name, is_full in full.items() if is_full],
            "names": end["names"],
            "refused": end["refused"],
            "wall": wall,
            "waited": self._taken.waited,
            "cpu": max(end["cpu"], self._taken.cpu),
            "memory": self._place.group.peak if self._place.group is not None else 0,
        }
        return wire.pack(header, [bytes(out.data), bytes(err.data), *contents])

    @property
    def _out_of_memory(self) -> str:
        return f"took more than {self._limits['memory']} bytes of memory"

    def _status(self, code: int | None, stderr: bytes) -> tuple[str, str]:
        if self._verdict[0]:
            return self._verdict
        if self._place.group is not None and self._place.group.ran_out:
            return "oom", self._out_of_memory
        if code == 0:
            return "ok", ""
        if code == 1 and stderr.rstrip().rpartition(b"\n")[2].startswith(b"MemoryError"):
            return "oom", "MemoryError"
        if code is not None and code < 0:
            return "runtime_error", f"ended by signal {-code}"
        return "runtime_error", f"exit code {code}"

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(OSError, EOFError):
            tell(wire.FAILED, f"{type(error).__name__}: {error}".encode(errors="replace"))
        os._exit(DIRTY)


def _raised(fd: int) -> int:
    """The descriptor under a number above 10, so that it is in no one's way when the standard ones are set."""
    raised = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return raised


def _write_at_start(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(fd, data[at : at + (1 << 20)], at)


def _temporary_file() -> int:
    import tempfile  # where there is no memfd; it would weigh on every fork

    fd, name = tempfile.mkstemp()
    os.unlink(name)
    return fd
