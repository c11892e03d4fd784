"""The HTTP server that lets other machines run jobs in the sandbox of this one."""

import asyncio
import hmac
import queue
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import WSMsgType, web

from ...errors import DataError, LachesisError, SandboxLost
from ..job import Job
from ..protocol import Sandbox, Session, SessionEnded
from . import messages
from .messages import PATHS, message
from .service import answer_seconds

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CALLS: Mapping[bytes, Callable[[Session, bytes], bytes | None]] = {
    messages.SEND: lambda session, line: session.send(line),
    messages.READ: lambda session, _: session.read(),
    messages.ASK: lambda session, line: session.ask(line),
    messages.WRITE: lambda session, data: session.write(data),
    messages.RECEIVE: lambda session, seconds: session.receive(float(seconds)),
    messages.CLOSE: lambda session, _: session.close(),
}
"""The calls of a session, by the kind of their message."""
_BODY_SECONDS = 60.0
_WAITING = 2
"""Requests for each job that can run: the others get status 503."""


def make_runner(sandbox: Sandbox, size: int, token: str = "", max_bytes: int = 64 << 20) -> web.AppRunner:
    """The server over ``sandbox``; it is ready for ``web.TCPSite``.

    Args:
        sandbox: an open sandbox; the caller closes it.
        size: how many jobs it runs at the same time.
        token: what callers must send as ``Authorization: Bearer TOKEN``; empty for none.
        max_bytes: of one request, and of one message in a conversation.
    """
    door = _Door(sandbox, size, token, max_bytes)
    app = web.Application(client_max_size=max_bytes)
    app.add_routes(
        [
            web.get(PATHS.sandbox, door.guarded(door.describe)),
            web.post(PATHS.jobs, door.guarded(door.limited(door.run))),
            web.get(PATHS.conversations, door.guarded(door.limited(door.converse))),
        ]
    )
    # A caller that goes away ends its job; bodies are read as they are, because a small one could unpack to gigabytes.
    return web.AppRunner(app, access_log=None, auto_decompress=False, handler_cancellation=True, shutdown_timeout=5.0)


class _Door:
    """The handlers; see ``make_runner``."""

    def __init__(self, sandbox: Sandbox, size: int, token: str, max_bytes: int) -> None:
        self._sandbox, self._size, self._token, self._max_bytes = sandbox, size, token, max_bytes
        self._requests = 0

    def guarded(self, handler: Handler) -> Handler:
        """``handler`` for callers with the token, with errors as one line of text."""

        async def answer(request: web.Request) -> web.StreamResponse:
            shown = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            if self._token and not hmac.compare_digest(shown.encode(errors="replace"), self._token.encode()):
                return web.Response(text="give the token: Authorization: Bearer TOKEN", status=401)
            if not self._token and "Origin" in request.headers:
                return web.Response(text="a web page may not call this server", status=403)
            try:
                return await handler(request)
            except DataError as error:
                return web.Response(text=str(error), status=422)

        return answer

    def limited(self, handler: Handler) -> Handler:
        """``handler``, unless there are too many requests already."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if self._requests >= _WAITING * self._size:
                return web.Response(text="all jobs are taken; try again", status=503, headers={"Retry-After": "1"})
            self._requests += 1
            try:
                return await handler(request)
            finally:
                self._requests -= 1

        return answer

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """The level, the layers and the size of the sandbox."""
        return web.json_response(
            {
                "name": self._sandbox.name,
                "level": self._sandbox.level.name.lower(),
                "layers": [asdict(layer) for layer in self._sandbox.layers],
                "size": self._size,
            }
        )

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Run one job."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            return web.Response(text=f"the body took longer than {_BODY_SECONDS:g} s", status=408)
        jobs = messages.unpack_jobs(body)
        if len(jobs) != 1:
            raise DataError(f"one job is needed, found {len(jobs)}")
        execution = await self._sandbox.run(jobs[0])
        return web.Response(body=messages.pack_executions([execution]), content_type="application/octet-stream")

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """Hold one conversation."""
        socket = web.WebSocketResponse(max_msg_size=self._max_bytes, heartbeat=30.0, compress=False)
        await socket.prepare(request)
        try:
            first: Any = await socket.receive(_BODY_SECONDS)
            if first.type != WSMsgType.BINARY or first.data[:1] != messages.JOBS:
                raise DataError("a conversation begins with its jobs")
            await self._hold(socket, messages.unpack_jobs(first.data[2:]))
        except (LachesisError, ValueError, TimeoutError) as error:  # ValueError: more jobs than the sandbox has agents
            if not socket.closed:
                await socket.send_bytes(message(messages.LOST, 0, str(error).encode(errors="replace")))
        await socket.close()
        return socket

    async def _hold(self, socket: web.WebSocketResponse, jobs: list[Job]) -> None:
        """Carry out the caller's calls until it ends the conversation or goes away."""
        line = _Line(socket, asyncio.get_running_loop(), max((answer_seconds(job.limits) for job in jobs), default=1.0))
        reading = asyncio.create_task(line.read())
        conversing = asyncio.create_task(self._sandbox.converse(jobs, line.drive))
        try:
            await asyncio.wait({reading, conversing}, return_when=asyncio.FIRST_COMPLETED)
            if conversing.done():
                _, executions = conversing.result()
                await socket.send_bytes(message(messages.EXECUTIONS, 0, messages.pack_executions(executions)))
        finally:
            for task in (reading, conversing):
                task.cancel()
            line.calls.put(b"")
            await asyncio.gather(reading, conversing, return_exceptions=True)


class _Line:
    """The calls of a remote caller, which a thread of the sandbox carries out."""

    def __init__(self, socket: web.WebSocketResponse, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._socket, self._loop, self._seconds = socket, loop, seconds
        self.calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    async def read(self) -> None:
        """Receive calls until the caller goes away."""
        async for received in self._socket:
            if received.type == WSMsgType.BINARY:
                self.calls.put(received.data)

    def drive(self, sessions: Sequence[Session]) -> None:
        """Carry out calls until the caller ends the conversation; see ``Sandbox.converse``."""
        self._tell(messages.BEGIN)
        while (call := self._next_call())[:1] != messages.END:
            if call[1] >= len(sessions) or call[:1] not in _CALLS:
                raise SandboxLost(f"the caller sent {call[:2]!r}, which is no call")
            try:
                answer = _CALLS[call[:1]](sessions[call[1]], call[2:])
                self._tell(messages.SENT if answer is None else messages.LINE, answer or b"")
            except SessionEnded:
                self._tell(messages.ENDED)

    def _next_call(self) -> bytes:
        try:
            call = self.calls.get(timeout=self._seconds)
        except queue.Empty:
            raise SandboxLost("the caller has sent nothing for too long") from None
        if len(call) < 2:
            raise SandboxLost("the caller has gone")
        return call

    def _tell(self, kind: bytes, text: bytes = b"") -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._socket.send_bytes(message(kind, 0, text)), self._loop).result()
        except (OSError, RuntimeError):
            raise SandboxLost("the caller has gone") from None
