"""An HTTP service that runs jobs: requests to it from any thread, with retries, and failures as ``SandboxLost``."""

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ...errors import ConfigError, SandboxLost
from ...secrets import without_secrets
from ..inside.wire import HARD
from ..job import Limits

Result = TypeVar("Result")

TOKEN = "LACHESIS_SANDBOX_TOKEN"
"""The environment variable with the token of a sandbox server; no setting has it, so that no file can."""
MOST_BYTES = 256 << 20
"""Bytes of one answer."""

_CLOSED = "the sandbox was closed"
_TRIES = 3
_PAUSE = 0.5
"""Seconds before a request is sent again after its connection failed; twice as long before the third try."""
_BUSY_SECONDS = 600.0
"""How long a request is sent again to a service that says it is busy."""
_CONNECT_SECONDS = 10.0
_SPARE_SECONDS = 30.0


class Service:
    """Sends requests to one service from a thread of its own; safe to call from any thread and event loop.

    Args:
        url: its address, such as ``https://sandboxes:8750``.
        ca_file: the certificates that it may have, None for those that this machine trusts.

    Raises:
        ConfigError: the address or the file of certificates cannot be used.
    """

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self.url = _checked(url)
        self._token = os.environ.get(TOKEN, "")
        parts = urlsplit(self.url)
        if self._token and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise ConfigError(f"sandbox.url is {url!r}, which would carry the token of {TOKEN} openly; use https")
        self._certificates = _certificates(ca_file) if parts.scheme == "https" else None
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._closing, self._closed = threading.Lock(), False
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox-service", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Start ``work`` on the thread of the service. Raises ``SandboxLost`` if the sandbox was closed."""
        with self._closing:
            if self._closed:
                work.close()
                raise SandboxLost(_CLOSED)
            return asyncio.run_coroutine_threadsafe(self._until_closed(work), self._loop)

    async def _until_closed(self, work: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await work
        except asyncio.CancelledError:
            if self._closed:  # the caller was not cancelled
                raise SandboxLost(_CLOSED) from None
            raise

    async def request(self, method: str, path: str, body: bytes = b"", *, seconds: float, kind: str = "") -> bytes:
        """The body of the answer to one request; call it on the thread of the service.

        A request whose connection fails is sent three times, and one to a busy service (503) for ten minutes.

        Args:
            method: of HTTP.
            path: added to the address.
            body: of the request.
            seconds: within which a service that is not busy answers.
            kind: the content type of ``body``.

        Raises:
            SandboxLost: there is no answer, or another one than 200.
        """
        tries, patient_until = 0, time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                status, answer, pause = await self._once(method, path, body, seconds, kind)
            except TimeoutError:
                raise self.lost(f"no answer within {seconds:g} s") from None
            except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
                tries += 1
                if tries == _TRIES or isinstance(error, aiohttp.ClientSSLError):
                    raise self.lost(_failure(error)) from None
                await asyncio.sleep(_PAUSE * tries)
                continue
            if status == 200:
                return answer
            if status != 503 or time.monotonic() > patient_until:
                raise self.lost(_refusal(status, answer))
            await asyncio.sleep(pause)

    async def connect(self, path: str) -> aiohttp.ClientWebSocketResponse:
        """Open a web socket, with as many tries as a request. Raises ``SandboxLost``."""
        tries, patient_until = 0, time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return await self._open_session().ws_connect(
                    self.url + path, ssl=self._ssl, max_msg_size=MOST_BYTES, heartbeat=_SPARE_SECONDS
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 503 or time.monotonic() > patient_until:
                    raise self.lost(_refusal(error.status, b"")) from None
                await asyncio.sleep(_pause(dict(error.headers or {})))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                tries += 1
                if tries == _TRIES or isinstance(error, aiohttp.ClientSSLError):
                    raise self.lost(_failure(error)) from None
                await asyncio.sleep(_PAUSE * tries)

    def lost(self, reason: str) -> SandboxLost:
        """The error for a failure of the service, without the token."""
        return SandboxLost(without_secrets(f"the sandbox at {self.url}: {' '.join(reason.split())}", self._token))

    def close(self) -> None:
        """End every request, and the thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _once(self, method: str, path: str, body: bytes, seconds: float, kind: str) -> tuple[int, bytes, float]:
        """(status, body, seconds to wait if it is busy)."""
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        headers = {"Content-Type": kind} if kind else {}
        async with self._open_session().request(
            method, self.url + path, data=body, headers=headers, timeout=limits, ssl=self._ssl, allow_redirects=False
        ) as answer:
            parts, size = [], 0
            async for part in answer.content.iter_any():
                size += len(part)
                if size > MOST_BYTES:
                    raise self.lost(f"an answer of more than {MOST_BYTES} bytes")
                parts.append(part)
            return answer.status, b"".join(parts), _pause(dict(answer.headers))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            shown = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(headers=shown, connector=connector, auto_decompress=False)
        return self._session

    @property
    def _ssl(self) -> ssl.SSLContext | bool:
        return self._certificates or True


def answer_seconds(limits: Limits) -> float:
    """Seconds within which a service that is not busy answers to a job: twice what the job itself may take."""
    return 2 * (limits.wall * HARD + _SPARE_SECONDS)


def _failure(error: Exception) -> str:
    """Why a connection failed, with the cure where there is one."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate is not trusted ({_cause(error.certificate_error)}); set sandbox.ca_file to a copy of it"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({_cause(error)}); check sandbox.url, and that the server runs there"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return (
            "it closed the connection without an answer; if it was started with --cert, sandbox.url begins with https"
        )
    return f"{type(error).__name__}: {error}"


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.errno or 0  # negative for a name that is not found
        return os.strerror(number) if number > 0 else error.os_error.strerror or str(error)
    return str(error)


def _refusal(status: int, answer: bytes) -> str:
    if status == 401:
        return f"status 401: it wants another token; set {TOKEN} to the token of the server"
    return f"status {status}: {answer[:300].decode(errors='replace')}" if answer else f"status {status}"


def _checked(url: str) -> str:
    if not url:
        raise ConfigError('sandbox.url is empty; name the service, such as "https://sandboxes:8750"')
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"sandbox.url is {without_secrets(url)!r}; write https://HOST:PORT")
    if "@" in parts.netloc:
        raise ConfigError(f"sandbox.url names a user or password; give the token in {TOKEN} instead")
    return url.rstrip("/")


def _certificates(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"sandbox.ca_file is {str(ca_file)!r}, which holds no certificates: {error}") from None


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _pause(headers: dict[str, str]) -> float:
    """Seconds that a busy service asks to wait, at most 30; 1 if it names none."""
    named = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return min(float(named), 30.0) if named.isdecimal() else 1.0
