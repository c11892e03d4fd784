"""The supervisor of one job: it carries the bytes, measures the time, ends the job, and reports its execution."""

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
from .channel import PARENT_IN, Channel, send_to_parent
from .files import wipe
from .init_process import InitProcess, Pipes, as_user, end_processes_of, socket_pair
from .network import Traces
from .program import Confinement, Program
from .usage import Consumed, Meter, processes_of

CLOSED, DIRTY, NETWORK_USED = 10, 11, 12
"""Exit codes of a supervisor: the parent has closed the connection; the job left something that cannot be removed; the
job has used the network namespace, and the next job needs a new one."""

_TICK = 0.05
_END_OF_CHANNEL = 2.0
_OWN_MEMORY = 24 << 20
"""Bytes that the supervisor and the init process may use, in addition to the data of the job."""


class JobEnvironment(NamedTuple):
    """The environment in which the jobs of an agent run.

    Attributes:
        namespaces: whether each job has its own PID and mount namespaces.
        folder: the working directory of the jobs.
        writable: the folders to wipe after each job; none if they disappear with its namespaces.
        path: the folders of Python modules.
        group: the cgroup, None if there is none.
        traces: of the network that only these jobs use, None if they share it with others.
        own: further folders that are made for each job, if it has namespaces.
    """

    namespaces: bool
    folder: str
    writable: tuple[str, ...]
    path: tuple[str, ...]
    group: Group | None
    traces: Traces | None
    own: tuple[str, ...] = ()


class _Stream:
    """The output of a job on one pipe, up to a limit; the rest is read and discarded."""

    def __init__(self, fd: int, most: int) -> None:
        self.fd, self.most = fd, most
        self.data = bytearray()
        self.truncated = False

    def read(self) -> bool:
        """Read what is available; False at the end. Raises ``BlockingIOError`` if nothing is available."""
        part = os.read(self.fd, 1 << 16)
        room = self.most - len(self.data)
        self.data += part[:room]
        self.truncated |= len(part) > room
        return bool(part)


class Supervisor:
    """Supervises one job. It starts before the job arrives, and ends after it has sent the execution to the parent."""

    def __init__(self, environment: JobEnvironment, confinement: Confinement) -> None:
        self._environment, self._confinement = environment, confinement
        self._ended_as = ("", "")  # (status, reason) if the supervisor ended the job
        self._consumed = Consumed()
        self._waited_while_open = 0.0  # for a CPU, until the channel was closed
        self._channel: Channel | None = None
        self._reported = False  # whether the init process reported the end of the job and of all its processes

    def run(self) -> Program:
        """Fork the init process and return in the program's process; the supervisor itself ends inside this call."""
        try:
            job_ends = self._open_pipes()
            if self._environment.namespaces:
                kernel.unshare(kernel.CLONE_NEWPID)
            self._init_pid = os.fork()
        except BaseException as error:  # noqa: BLE001 - every error has to be reported
            self._fail(error)
        if not self._init_pid:
            for fd in self._own_ends:
                os.close(fd)
            environment = self._environment
            own = environment.own if environment.namespaces else None
            return InitProcess(job_ends, own, environment.folder, self._confinement).run(environment.path)
        try:
            for fd in job_ends:
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

    def _open_pipes(self) -> Pipes:
        """Open every pipe of the job, and return the ends of the init process and the program."""
        self._control, control = socket_pair()
        (feed, self._feed), (down, self._down) = os.pipe(), os.pipe()
        (self._out, out), (self._err, err), (self._up, up) = os.pipe(), os.pipe(), os.pipe()
        for fd in (self._out, self._err, self._up):
            os.set_blocking(fd, False)
        self._stdin = _move_up(os.memfd_create("stdin") if sys.platform == "linux" else _make_unnamed_file())
        self._own_ends = (self._control, self._feed, self._down, self._out, self._err, self._up)
        return Pipes(_move_up(control), _move_up(feed), self._stdin, *(_move_up(fd) for fd in (out, err, down, up)))

    def _supervise(self) -> None:
        job, blobs = self._read_job()
        self._limits = job["limits"]
        files = {"names": job["names"], "most": self._limits["output"]}
        wire.write_all(self._control, wire.frame(wire.JOB, wire.pack(files)))
        self._meter = Meter(self._init_pid, self._environment.group)
        self._start = time.monotonic()
        wire.write_all(self._feed, wire.frame(wire.JOB, wire.pack(job, blobs)))
        os.close(self._feed)
        exit_header, contents = self._watch(job["channel"])
        wall = time.monotonic() - self._start
        self._end_job()
        self._drain()
        clean = self._clean_up()
        used = self._environment.traces is not None and self._environment.traces.changed()
        last = not clean or (used and not self._environment.namespaces)
        send_to_parent(wire.EXECUTION, self._execution(exit_header, contents, wall, last))
        os._exit(DIRTY if last else NETWORK_USED if used else 0)

    def _read_job(self) -> tuple[dict[str, Any], list[bytes]]:
        """Read the job and its files from the parent; its stdin is written to the file from which the job reads it."""
        kind, size = wire.read_head(PARENT_IN)
        while kind != wire.JOB:  # late lines for a job that has already ended
            wire.read_exactly(PARENT_IN, size)
            kind, size = wire.read_head(PARENT_IN)
        if self._environment.group is not None:
            self._environment.group.make_room(4 * size + _OWN_MEMORY)
        job, (stdin, *blobs) = wire.unpack(wire.read_exactly(PARENT_IN, size))
        _write_at_start(self._stdin, stdin)
        os.close(self._stdin)
        del stdin
        if self._environment.group is not None:
            held = 2 * (size + job["limits"]["output"])
            self._environment.group.prepare(job["limits"]["memory"] + held + _OWN_MEMORY)
        return job, blobs

    def _watch(self, channel: bool) -> tuple[dict[str, Any] | None, list[bytes]]:
        """Carry bytes until the job ends, and return the report of its end: None if the supervisor ended it."""
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
                    with contextlib.suppress(BlockingIOError):  # a job that runs as our own user can read it first
                        if not self._streams[fd].read():
                            poller.unregister(fd)
                elif lines is None:
                    wire.read_frame(PARENT_IN)  # raises EOFError if the parent has closed
                elif fd == PARENT_IN:
                    lines.read_from_parent()
                else:
                    lines.handle(fd, event)
            if time.monotonic() >= next_look:
                if self._exceeds_limits():
                    return None, []
                next_look = time.monotonic() + _TICK

    def _read_end(self) -> tuple[dict[str, Any] | None, list[bytes]]:
        """Read the report of the init process."""
        try:
            kind, payload = wire.read_frame(self._control)
        except (EOFError, ConnectionResetError):  # it was killed, usually for memory
            if self._environment.group is None or not self._environment.group.ran_out:
                self._ended_as = ("infra_error", "the job's init process was killed")
            return None, []
        if kind == wire.FAILED:
            self._ended_as = ("infra_error", f"the job could not be started: {payload.decode(errors='replace')}")
            return None, []
        self._reported = True
        return wire.unpack(payload)

    def _exceeds_limits(self) -> bool:
        self._consumed = self._meter.look()
        wall, cpu = self._limits["wall"], self._limits["cpu"]
        elapsed = time.monotonic() - self._start
        if self._environment.group is not None and self._environment.group.ran_out:
            self._ended_as = ("oom", self._out_of_memory)
        elif self._consumed.cpu > cpu:
            self._ended_as = ("timeout", f"took more than {cpu:g} s of CPU time")
        elif elapsed - self._consumed.waited > wall:
            self._ended_as = ("timeout", f"took more than {wall:g} s")
        elif elapsed > wire.HARD * wall:
            self._ended_as = (
                "infra_error",
                f"{wire.OVERLOADED}: {self._consumed.cpu:.3g} s of CPU time in {elapsed:.3g} s",
            )
        elif self._outlives_channel():
            self._ended_as = ("timeout", f"did not end within {_END_OF_CHANNEL:g} s after its channel was closed")
        return bool(self._ended_as[0])

    def _outlives_channel(self) -> bool:
        closed_at = self._channel.closed_at if self._channel else None
        if closed_at is None:
            self._waited_while_open = self._consumed.waited
            return False
        waited = min(self._consumed.waited - self._waited_while_open, (wire.HARD - 1) * _END_OF_CHANNEL)
        return time.monotonic() - closed_at - waited > _END_OF_CHANNEL

    def _end_job(self) -> None:
        """Kill every process of the job; none is left on return."""
        apart = not self._environment.namespaces and not self._reported
        if apart and self._confinement.uid is None:
            end_processes_of(None, self._init_pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init_pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._init_pid, 0)  # returns after every process of its PID namespace has ended
        uid = self._confinement.uid
        if apart and uid is not None:
            end_processes_of(uid, self._init_pid)
            while processes_of(uid):  # until the last of them have ended
                end_processes_of(uid, self._init_pid)

    def _drain(self) -> None:
        """Read the rest of the pipes, whose other ends are closed."""
        for stream in self._streams.values():
            with contextlib.suppress(BlockingIOError):
                while stream.read():
                    pass
        if self._channel is not None:
            self._channel.flush()

    def _clean_up(self) -> bool:
        if not any(os.listdir(folder) for folder in self._environment.writable):
            return True
        header, _ = as_user(self._confinement.uid, lambda: ({"clean": wipe(list(self._environment.writable))}, []))
        return bool(header["clean"])

    def _execution(self, end: dict[str, Any] | None, contents: list[bytes], wall: float, last: bool) -> bytes:
        out, err = (self._streams[fd] for fd in (self._out, self._err))
        end = end or {"status": None, "cpu": self._consumed.cpu, "names": [], "refused": {}, "full": False}
        status, reason = self._status(end["status"], bytes(err.data[-200:]))
        full = {"stdout": out.truncated, "stderr": err.truncated, "files": end["full"]}
        header = {
            "status": status,
            "reason": reason,
            "code": end["status"],
            "truncated": [name for name, is_full in full.items() if is_full],
            "names": end["names"],
            "refused": end["refused"],
            "last": last,
            "wall": wall,
            "waited": self._consumed.waited,
            "cpu": max(end["cpu"], self._consumed.cpu),
            "memory": self._environment.group.peak if self._environment.group is not None else 0,
        }
        return wire.pack(header, [bytes(out.data), bytes(err.data), *contents])

    @property
    def _out_of_memory(self) -> str:
        return f"took more than {self._limits['memory']} bytes of memory"

    def _status(self, code: int | None, stderr: bytes) -> tuple[str, str]:
        if self._ended_as[0]:
            return self._ended_as
        if self._environment.group is not None and self._environment.group.ran_out:
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
            send_to_parent(wire.FAILED, f"{type(error).__name__}: {error}".encode(errors="replace"))
        os._exit(DIRTY)


def _move_up(fd: int) -> int:
    """Move a descriptor to a number from 20 on, so that the standard ones are free."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return moved


def _write_at_start(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(fd, data[at : at + (1 << 20)], at)


def _make_unnamed_file() -> int:
    import tempfile  # needed only without memfd; at the top it would slow every fork down

    fd, name = tempfile.mkstemp()
    os.unlink(name)
    return fd
