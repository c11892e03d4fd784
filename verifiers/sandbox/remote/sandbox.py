"""The ``remote`` backend: jobs run in the sandbox of another machine, where ``lachesis serve-sandbox`` runs."""

import asyncio
import json
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aiohttp

from ...errors import ConfigError, SandboxLost
from ...processes.deadline import pause_deadline
from ..job import Execution, Job, Level
from ..layers import Layer
from ..protocol import Session, SessionEnded
from ..settings import SandboxSettings
from . import messages
from .messages import PATHS, message
from .service import Service, answer_seconds

Result = TypeVar("Result")

_DESCRIPTION_SECONDS = 120.0
"""The server may have to start its sandbox first."""
_GONE = b""


class _Restarted(Exception):
    """The server lost its sandbox, and has started the jobs again."""


class RemoteSandbox:
    """A ``Sandbox`` of another machine, with the level and the layers that were found there.

    Args:
        service: the server.
        level: the level of the server's sandbox.
        layers: its layers.
        size: how many requests are under way at the same time.
    """

    name = "remote"

    def __init__(self, service: Service, level: Level, layers: Sequence[Layer], size: int) -> None:
        self.level, self.layers = level, layers
        self._service = service
        self._places = asyncio.Semaphore(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="sandbox-remote")

    async def run(self, job: Job) -> Execution:
        """Run ``job``; see ``Sandbox.run``."""
        try:
            with pause_deadline():
                return await asyncio.wrap_future(self._service.submit(self._run(job)))
        except SandboxLost as lost:
            return Execution("infra_error", reason=str(lost), level=self.level)

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """Run ``jobs`` and let ``drive`` talk to them; see ``Sandbox.converse``."""
        with pause_deadline():
            return await asyncio.wrap_future(self._service.submit(self._converse(jobs, drive)))

    def close(self) -> None:
        """End every request, which ends its job at the server."""
        self._service.close()
        self._threads.shutdown(wait=False)

    async def _run(self, job: Job) -> Execution:
        async with self._places:
            body = await self._service.request(
                "POST",
                PATHS.jobs,
                messages.pack_jobs([job]),
                seconds=answer_seconds(job.limits),
                kind="application/octet-stream",
            )
        (execution,) = self._executions(body, 1)
        return execution

    async def _converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        async with self._places:
            socket = await self._service.connect(PATHS.conversations)
            link = _Link(self._service, socket, max(answer_seconds(job.limits) for job in jobs))
            reading = asyncio.create_task(link.read())
            driving = asyncio.get_running_loop().run_in_executor(self._threads, _talk, link, jobs, drive)
            try:
                result, body = await driving
            finally:
                reading.cancel()
                link.received.put(_GONE)  # for a thread that still waits for the server
                await socket.close()
        return result, self._executions(body, len(jobs))

    def _executions(self, body: bytes, count: int) -> list[Execution]:
        """The executions in ``body``, from a sandbox that is still as strong as when this one was opened."""
        executions = messages.unpack_executions(body)
        if len(executions) != count:
            raise self._service.lost(f"{len(executions)} executions for {count} jobs")
        for execution in executions:
            if execution.level < self.level and execution.status != "infra_error":
                raise self._service.lost(
                    f"holds {execution.level.name.lower()} only, and held {self.level.name.lower()}"
                )
        return executions


class _Link:
    """The web socket of one conversation, for the thread that drives it."""

    def __init__(self, service: Service, socket: aiohttp.ClientWebSocketResponse, seconds: float) -> None:
        self._service, self._socket, self._seconds = service, socket, seconds
        self.received: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    async def read(self) -> None:
        """Receive messages until the socket closes."""
        try:
            async for received in self._socket:
                if received.type == aiohttp.WSMsgType.BINARY:
                    self.received.put(received.data)
        finally:
            self.received.put(_GONE)

    def send(self, data: bytes) -> None:
        """Send one message. Raises ``SandboxLost``."""
        try:
            self._service.submit(self._socket.send_bytes(data)).result()
        except (ConnectionError, aiohttp.ClientError) as error:
            raise self._service.lost(f"the connection was lost: {error}") from None

    def receive(self) -> tuple[bytes, bytes]:
        """The kind and the content of the next message. Raises ``SandboxLost``."""
        try:
            data = self.received.get(timeout=self._seconds)
        except queue.Empty:
            raise self._service.lost(f"no answer within {self._seconds:g} s") from None
        if data == _GONE:
            raise self._service.lost("the connection was lost")
        kind, content = data[:1], data[2:]
        if kind == messages.LOST:
            raise self._service.lost(content.decode(errors="replace"))
        return kind, content


class _RemoteSession:
    """A ``Session`` of a job at the server."""

    def __init__(self, link: _Link, number: int, output: int) -> None:
        self._link, self._number, self._output = link, number, output

    def ask(self, line: bytes) -> bytes:
        """Send one line and return the next one."""
        return self._call(messages.ASK, self._checked(line))

    def read(self) -> bytes:
        """Return the next line from the job."""
        return self._call(messages.READ)

    def send(self, line: bytes) -> None:
        """Send one line."""
        self._call(messages.SEND, self._checked(line))

    def write(self, data: bytes) -> None:
        """Send bytes that need not be whole lines."""
        self._call(messages.WRITE, data)

    def receive(self, seconds: float) -> bytes:
        """Return what the job has written, after at most ``seconds``."""
        return self._call(messages.RECEIVE, str(seconds).encode())

    def fileno(self) -> int:
        """None: the caller has to poll."""
        return -1

    def close(self) -> None:
        """Let the job read end of file on its channel."""
        self._call(messages.CLOSE)

    def _checked(self, line: bytes) -> bytes:
        if len(line) > self._output or b"\n" in line:
            raise ValueError(f"a line of at most {self._output} bytes was expected, found {len(line)}")
        return line

    def _call(self, kind: bytes, data: bytes = b"") -> bytes:
        self._link.send(message(kind, self._number, data))
        answer, content = self._link.receive()
        if answer == messages.BEGIN:
            raise _Restarted
        if answer == messages.ENDED:
            raise SessionEnded
        return content


def _talk(
    link: _Link, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
) -> tuple[Result | None, bytes]:
    """Hold one conversation, and return the result of ``drive`` and the executions as bytes."""
    link.send(message(messages.JOBS, 0, messages.pack_jobs(jobs)))
    result: Result | None = None
    kind, content = link.receive()
    while kind == messages.BEGIN:
        sessions = [_RemoteSession(link, number, job.limits.output) for number, job in enumerate(jobs)]
        try:
            result = drive(sessions)
        except SessionEnded:
            result = None
        except _Restarted:
            continue
        link.send(message(messages.END))
        kind, content = link.receive()  # the jobs start again if the sandbox is lost in the end
    return result, content


def open_remote_sandbox(settings: SandboxSettings) -> RemoteSandbox:
    """Open the sandbox of the server at ``settings.url``.

    Raises:
        ConfigError: the settings cannot be used for a remote sandbox.
        SandboxLost: the server does not answer, or refuses the token.
    """
    refuse_local_settings(settings, "the server's own [sandbox] settings decide this")
    service = Service(settings.url, settings.ca_file)
    try:
        answer = service.submit(service.request("GET", PATHS.sandbox, seconds=_DESCRIPTION_SECONDS)).result()
        try:
            described = json.loads(answer)
            layers = [Layer(**layer) for layer in described["layers"]]
            level, size = Level[described["level"].upper()], max(1, int(described["size"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise service.lost(f"this is no sandbox server of this version ({error!r:.100})") from None
    except BaseException:
        service.close()
        raise
    return RemoteSandbox(service, level, layers, settings.size or size)


def refuse_local_settings(settings: SandboxSettings, reason: str) -> None:
    """Raise ``ConfigError`` for settings that a sandbox on another machine does not take."""
    for name in ("packages", "folders", "writable", "image"):
        if getattr(settings, name) != type(settings).model_fields[name].default:
            raise ConfigError(f"sandbox.{name} has no effect on backend {settings.backend!r}: {reason}; remove it")
