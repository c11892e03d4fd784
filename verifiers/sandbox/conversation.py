"""The parent's side of an agent: running a job on it, and exchanging lines with the job."""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol

from ..errors import SandboxLost
from .inside import wire
from .job import Execution, Job, Usage
from .protocol import SessionEnded

STARTUP_SECONDS = 30.0
"""How long an agent may take to get ready for a job."""
_EXTRA_SECONDS = 15.0
"""Seconds beyond the longest time that a job may take; after them, the agent itself counts as lost."""
_MEMORY_STEP = 16 << 20
"""Bytes: memory for the inputs of a job is added in multiples of this; smaller inputs need no extra memory."""


class AgentLost(Exception):
    """The agent ended, violated the protocol, or stopped answering."""


class Connection(Protocol):
    """A byte stream to and from an agent, for one owner at a time."""

    def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises ``OSError`` if the agent does not read it."""
        ...

    def fileno(self) -> int:
        """A descriptor for ``select``; it is readable when bytes have arrived."""
        ...

    def receive(self, seconds: float) -> bytes:
        """Receive some bytes, none at the end of the stream. Raises ``OSError``: ``TimeoutError`` after ``seconds``."""
        ...

    def limit_memory(self, memory: int) -> None:
        """Limit the agent's jobs to ``memory`` bytes if the agent cannot do so itself. Raises ``SandboxLost``."""
        ...

    def close(self) -> None:
        """End the agent and all of its processes; may be called from any thread, and more than once."""
        ...


class Agent:
    """An agent that is ready for a job.

    Raises:
        SandboxLost: it did not get ready.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.usable = True
        try:
            kind, payload = self.next_frame(STARTUP_SECONDS)
        except AgentLost as lost:
            self.close()
            raise SandboxLost(f"an agent did not start: {lost}") from None
        if kind != wire.READY:
            self.close()
            raise SandboxLost(f"an agent did not start: {payload[:500].decode(errors='replace')}")
        self.missing: Mapping[str, str] = json.loads(payload)["missing"]

    def begin(self, job: Job, channel: bool = False) -> None:
        """Send ``job`` to the agent.

        Raises:
            AgentLost: the agent did not read it.
            SandboxLost: the job is too large for any agent.
        """
        input_memory = (
            4 * (len(job.stdin) + len(job.code) + sum(map(len, job.files.values()))) // _MEMORY_STEP * _MEMORY_STEP
        )
        if input_memory > 3 * wire.MOST:  # 3 and not 4, because code may have more bytes than characters
            raise SandboxLost(f"a job is given {input_memory // 4 >> 20} MiB, which is more than a sandbox takes")
        try:
            self._connection.limit_memory(job.limits.memory + input_memory)
        except SandboxLost as lost:  # the agent has ended since its last job
            self.close()
            raise AgentLost(str(lost)) from None
        header = {
            "limits": asdict(job.limits),
            "env": dict(job.env),
            "names": list(job.files),
            "channel": channel,
        }
        blobs = [job.stdin, job.code.encode(errors="surrogatepass"), *job.files.values()]
        self.send(wire.JOB, wire.pack(header, blobs))

    def run(self, job: Job) -> Execution:
        """Run ``job``. Raises ``AgentLost``."""
        self.begin(job)
        kind, payload = self.next_frame(job.limits.wall * wire.HARD + _EXTRA_SECONDS)
        return self.execution(kind, payload)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send one frame. Raises ``AgentLost``."""
        try:
            self._connection.send(wire.frame(kind, payload))
        except OSError as error:
            self.close()
            raise AgentLost(f"it takes nothing: {error}") from None

    def next_frame(self, seconds: float) -> tuple[bytes, bytes]:
        """Read the next frame, as kind and payload. Raises ``AgentLost``."""
        frame = self.poll_frame(seconds)
        if frame is None:
            self.close()
            raise AgentLost(f"it did not answer within {seconds:g} s")
        return frame

    def poll_frame(self, seconds: float) -> tuple[bytes, bytes] | None:
        """Read the next frame; None if it is not complete after ``seconds``. Raises ``AgentLost``."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                if len(self._buffer) >= wire.HEAD.size:
                    kind, size = wire.HEAD.unpack_from(self._buffer)
                    if size > wire.MOST:
                        raise OSError(f"it sent {size} bytes at once")
                    end = wire.HEAD.size + size
                    if len(self._buffer) >= end:
                        payload = bytes(self._buffer[wire.HEAD.size : end])
                        del self._buffer[:end]
                        return kind, payload
                part = self._connection.receive(max(0.0, deadline - time.monotonic()))
                if not part:
                    raise OSError("it ended")
                self._buffer += part
        except TimeoutError:
            return None
        except OSError as error:
            self.close()
            raise AgentLost(str(error)) from None

    def fileno(self) -> int:
        """The descriptor of its connection."""
        return self._connection.fileno()

    @property
    def holds_frame(self) -> bool:
        """Whether a whole frame has been received that was not read yet."""
        if len(self._buffer) < wire.HEAD.size:
            return False
        return bool(len(self._buffer) >= wire.HEAD.size + wire.HEAD.unpack_from(self._buffer)[1])

    def execution(self, kind: bytes, payload: bytes) -> Execution:
        """Decode the execution in a frame. Raises ``AgentLost`` if the frame contains none."""
        if kind != wire.EXECUTION:
            self.close()
            raise AgentLost(f"it failed: {payload[:500].decode(errors='replace')}")
        header, (stdout, stderr, *contents) = wire.unpack(payload)
        self.usable = not header["last"]
        code = header["code"]
        ended_by_signal = code is not None and code < 0
        return Execution(
            status=header["status"],
            exit_code=None if ended_by_signal else code,
            signal=signal_name(-code) if ended_by_signal else "",
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
            truncated=tuple(header["truncated"]),
            files=dict(zip(header["names"], contents, strict=True)),
            refused=header["refused"],
            usage=Usage(header["wall"], header["waited"], header["cpu"], header["memory"]),
            reason=header["reason"],
        )

    def close(self) -> None:
        """End the agent."""
        self.usable = False
        self._connection.close()


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIG{number}"


class Conversation:
    """A ``Session``: a job that runs on an agent and exchanges lines with its caller."""

    def __init__(self, agent: Agent, job: Job) -> None:
        self._agent, self._job = agent, job
        self._execution: Execution | None = None
        self._lines = bytearray()
        self._closed = self._ended = False  # whether the caller and the job have closed their ends of the channel
        self._deadline = time.monotonic() + job.limits.wall * wire.HARD + _EXTRA_SECONDS
        agent.begin(job, channel=True)

    def send(self, line: bytes) -> None:
        """Send one line."""
        if len(line) > self._job.limits.output or b"\n" in line:
            raise ValueError(f"a line of at most {self._job.limits.output} bytes was expected, found {len(line)}")
        self.write(line + b"\n")

    def fileno(self) -> int:
        """The descriptor of the agent's connection."""
        return self._agent.fileno()

    def write(self, data: bytes) -> None:
        """Send bytes that need not be whole lines."""
        if self._execution is not None:
            raise SessionEnded
        self._agent.send(wire.LINES, data)

    def close(self) -> None:
        """Let the job read end of file on its channel."""
        if self._execution is None and not self._closed:
            self._closed = True
            self._agent.send(wire.END_OF_LINES)

    def read(self) -> bytes:
        """Return the next line from the job."""
        searched = 0
        while (end := self._lines.find(b"\n", searched)) < 0:
            searched = len(self._lines)
            if searched > self._job.limits.output:
                self._reject_long_line()
            self._receive()
        line = bytes(self._lines[:end])
        del self._lines[: end + 1]
        return line

    def ask(self, line: bytes) -> bytes:
        """Send one line and return the next one."""
        self.send(line)
        return self.read()

    def receive(self, seconds: float) -> bytes:
        """Return what the job has written, after at most ``seconds``."""
        if not self._lines:
            self._receive(seconds)
        while self._agent.holds_frame and not self._ended:
            self._read_frame()
        data = bytes(self._lines)
        self._lines.clear()
        return data

    def end(self, seconds: float) -> Execution:
        """Close the channel, and wait at most ``seconds`` for the job to end."""
        if self._execution is None:
            self.close()
            self._deadline = min(self._deadline, time.monotonic() + seconds)
        while self._execution is None:
            self._lines.clear()
            self._read_frame()
        return self._execution

    def _receive(self, seconds: float | None = None) -> None:
        """Read one frame, or none if ``seconds`` pass before."""
        if not self._ended:
            self._read_frame(seconds)
        if self._ended:
            raise SessionEnded

    def _read_frame(self, seconds: float | None = None) -> None:
        """Read one frame; without ``seconds``, the agent is lost if none comes before the session's deadline."""
        left = max(0.0, self._deadline - time.monotonic())
        if seconds is None or seconds >= left:
            frame: tuple[bytes, bytes] | None = self._agent.next_frame(left)
        else:
            frame = self._agent.poll_frame(seconds)
        if frame is None:
            return
        kind, payload = frame
        if kind == wire.LINES:
            self._lines += payload
            return
        self._ended = True
        if kind != wire.END_OF_LINES:
            self._execution = self._agent.execution(kind, payload)

    def _reject_long_line(self) -> None:
        """End a job whose line is too long, by closing its agent, so that nothing more is read from the job."""
        self._agent.close()
        self._ended = True
        self._execution = Execution(
            "limit", reason=f"a line of more than {self._job.limits.output} bytes on its channel"
        )
        raise SessionEnded
