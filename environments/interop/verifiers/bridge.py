"""A process of another Python that runs foreign environments: JSON lines over its standard input and output."""

import asyncio
import atexit
import itertools
import json
import os
import queue
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from ....verifiers.errors import ConfigError, InfrastructureError
from ....verifiers.processes.marked import end_processes

PROGRAM = Path(__file__).with_name("program.py")
MAX_LINE = 64 << 20
"""Most bytes of one line of a process; a longer one ends it."""
_KEPT_OUTPUT = 4000
"""Bytes of the end of its other output that are kept for error messages."""
_LAST_OUTPUT = 2.0
"""Seconds that the other output of a process which ended is waited for; a child of it may keep the pipe open."""
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "HF_HOME")
"""Environment variables that every process gets; it gets no others, so none of our keys."""

_MARK = "LACHESIS_FOREIGN"

Message = dict[str, Any]
Receiver = Callable[[Message], None]


@dataclass(frozen=True)
class Launch:
    """How a process is started, and which environment it loads.

    Attributes:
        python: the interpreter.
        load: what ``program.py`` is asked to load, as JSON text.
        variables: names of further environment variables that it gets.
        seconds: the time that starting and loading may take.
    """

    python: str
    load: str
    variables: tuple[str, ...] = ()
    seconds: float = 120.0


class Bridge:
    """A running process that has loaded its environment; safe to use from any thread.

    Raises:
        ConfigError: the interpreter cannot be started, or the environment cannot be loaded.
        InfrastructureError: the process died, or took too long.
    """

    def __init__(self, launch: Launch) -> None:
        names = (*_INHERITED, *launch.variables)
        self._mark = uuid.uuid4().hex  # also in the environment of all that it starts, in whatever session
        try:
            self._process = subprocess.Popen(
                [launch.python, "-I", "-B", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={_MARK: self._mark, **{name: os.environ[name] for name in names if name in os.environ}},
                cwd=gettempdir(),  # not ours: a folder `verifiers` there would hide their package
                bufsize=0,
                start_new_session=True,  # so that Ctrl-C does not reach it, and that it can be killed with its children
            )
        except OSError as error:
            raise ConfigError(f"cannot start {launch.python}: {error.strerror}; check config.python") from None
        self.lost = ""
        self._output = b""
        self._receivers: dict[int, Receiver] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        writer, reader, self._drainer = (
            threading.Thread(target=work, name="foreign environment", daemon=True)
            for work in (self._write, self._read, self._drain)
        )
        for thread in (self._drainer, writer, reader):
            thread.start()
        try:
            self.about = self.call(launch.seconds, do="load", **json.loads(launch.load))
        except BaseException:
            self.close("it could not load")
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def call(self, seconds: float, **request: Any) -> Any:
        """The answer to a request; blocks for at most ``seconds``.

        Raises:
            ConfigError: the process says that it cannot do this.
            InfrastructureError: it died, or gave no answer in time.
        """
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        number = self.open(answers.put)
        try:
            self.send(number, request)
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            raise InfrastructureError(
                f"the environment's process gave no answer to {request['do']!r} within {seconds:g} s{self._said()}"
            ) from None
        finally:
            self.forget(number)
        if "lost" in answer:
            raise InfrastructureError(answer["lost"])
        if "failed" in answer:
            raise ConfigError(answer["failed"])
        return answer.get("ok")

    def open(self, receiver: Receiver) -> int:
        """The number of a new exchange; ``receiver`` is called with each of its messages, on a thread of the bridge."""
        number = next(self._numbers)
        with self._lock:
            self._receivers[number] = receiver
            lost = self.lost
        if lost:
            receiver({"lost": lost})
        return number

    def send(self, number: int, message: Message) -> None:
        """Send a message of the exchange ``number``; never blocks."""
        self._outbox.put(json.dumps({"n": number, **message}).encode() + b"\n")

    def forget(self, number: int) -> None:
        """End an exchange; later messages of it are ignored."""
        with self._lock:
            self._receivers.pop(number, None)

    def close(self, why: str) -> None:
        """Kill the process with its children; every open exchange is told ``why``."""
        with self._lock:
            self.lost = self.lost or why  # before the reader sees the end, which would be another reason
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        end_processes(_MARK, self._mark)
        self._tell_all()
        self._outbox.put(None)

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:
            while (line := self._outbox.get()) is not None:
                while line:
                    line = line[pipe.write(line) :]

    def _read(self) -> None:
        assert self._process.stdout is not None
        line = bytearray()
        why = ""
        with self._process.stdout as pipe:
            while not why and (chunk := pipe.read(1 << 16)):
                line += chunk
                *whole, line = line.split(b"\n") if b"\n" in chunk else [line]
                if len(line) > MAX_LINE:
                    why = f"it sent a line of more than {MAX_LINE} bytes"
                elif not all(map(self._deliver, whole)):
                    why = "it sent a line that is no message"
        if not why:
            code = self._process.wait()
            self._drainer.join(_LAST_OUTPUT)
            why = f"it ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
        self.close(f"the environment's process was lost: {why}{self._said()}")

    def _deliver(self, line: bytearray) -> bool:
        try:
            message = json.loads(line)
            number = message.pop("n")
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            return False
        with self._lock:
            receiver = self._receivers.get(number)
        if receiver:
            receiver(message)
        return True

    def _drain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while chunk := pipe.read(1 << 16):
                self._output = (self._output + chunk)[-_KEPT_OUTPUT:]

    def _said(self) -> str:
        """The end of what it wrote, for a message."""
        lines = self._output.decode("utf-8", "replace").strip().splitlines()
        return f"; its last output: {' | '.join(lines[-3:])[-600:]}" if lines else ""

    def _tell_all(self) -> None:
        with self._lock:
            receivers = list(self._receivers.values())
        for receiver in receivers:
            receiver({"lost": self.lost})


class Exchange:
    """One exchange of messages with a bridge, awaited on an event loop; a context manager."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._number = bridge.open(self._receive)

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self._bridge.forget(self._number)

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._bridge.send(self._number, message)

    async def next(self, seconds: float) -> Message | None:
        """The next message; None if none comes within ``seconds``.

        Raises:
            InfrastructureError: the process died.
        """
        try:
            message = await asyncio.wait_for(self._messages.get(), seconds)
        except TimeoutError:
            return None
        if "lost" in message:
            raise InfrastructureError(message["lost"])
        return message

    def _receive(self, message: Message) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._messages.put_nowait, message)


_bridges: dict[Launch, Bridge] = {}
_starting: dict[Launch, threading.Lock] = {}
_lock = threading.Lock()


def bridge_of(launch: Launch) -> Bridge:
    """The process for ``launch``: one for all environments and threads, started again if it was lost. Blocks."""
    with _lock:
        starting = _starting.setdefault(launch, threading.Lock())
    with starting:
        bridge = _bridges.get(launch)
        if bridge is None or bridge.lost:
            bridge = _bridges[launch] = Bridge(launch)
        return bridge


@atexit.register
def _close_all() -> None:
    for bridge in list(_bridges.values()):
        bridge.close("the program ends")
