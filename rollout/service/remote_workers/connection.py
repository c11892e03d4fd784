"""A connection to an HTTP server that may be lost: it asks again until there is an answer."""

import asyncio
import logging
import os
import random
import time
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector

from ....verifiers.errors import ConfigError, EngineLost, InfrastructureError

log = logging.getLogger("lachesis")

SHORT = ClientTimeout(total=60, sock_connect=10)
LONG = ClientTimeout(total=None, sock_connect=10)  # a completion takes what it takes; its group has the deadline

_FIRST_DELAY, _LAST_DELAY = 0.1, 5.0  # seconds between two tries; each is about twice the one before
_ABSENT = {502, 504}  # a proxy answers, and not the server
_AGAIN = {408, 429, 503}


class ServiceLost(EngineLost):
    """The server has not answered for too long."""


class AnswerLost(InfrastructureError):
    """A request was sent, and nobody knows whether it was received."""


class Connection:
    """Asks one server, and asks again while it does not answer.

    Args:
        url: of the server.
        token: that it wants; empty for none, or if it stands in the URL.
        patience: seconds without any answer after which ``ServiceLost`` is raised.
        content_type: of the bodies that are sent; empty to leave it open.

    Attributes:
        url: of the server, without a slash at its end.
        lost: why the server does not answer; empty while it does.
    """

    def __init__(self, url: str, *, token: str = "", patience: float = 600.0, content_type: str = "") -> None:
        self.url, self._patience = url.rstrip("/"), patience
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if content_type:
            self._headers["Content-Type"] = content_type
        self._heard = time.monotonic()
        self.lost = ""

    async def __aenter__(self) -> Self:
        self._session = ClientSession(headers=self._headers, connector=TCPConnector(limit=0), timeout=SHORT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def silent(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._heard

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout: ClientTimeout = SHORT,  # noqa: ASYNC109
        *,
        repeat: bool = True,
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Args:
            method: of HTTP.
            path: after the URL.
            body: as it is sent.
            timeout: of one try.
            repeat: whether the request may be sent again if its answer was lost.

        Raises:
            AnswerLost: the answer was lost, and the request may not be sent again.
            ServiceLost: there was no answer in time.
        """
        delay = _FIRST_DELAY
        while True:
            try:
                async with self._session.request(method, self.url + path, data=body, timeout=timeout) as response:
                    status, answer = response.status, await response.read()
                if status not in _ABSENT:
                    self._found()
                if status not in _ABSENT | _AGAIN:
                    return status, answer
                reason = f"{status} {detail(answer)}"
            except (ClientError, OSError, TimeoutError) as error:
                reason = _cause(error)
                status = 0
                if not repeat and not isinstance(error, ClientConnectorError):
                    raise AnswerLost(f"{self.url}{path}: the answer was lost ({reason})") from None
            if status in _ABSENT or not status:
                self._miss(reason)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LAST_DELAY)

    def checked(self, status: int, body: bytes) -> bytes:
        """The body of a good answer.

        Raises:
            ConfigError: the token is wrong.
            InfrastructureError: the answer is another error.
        """
        if status == 200:
            return body
        if status == 401:
            raise ConfigError(f"{self.url} wants another token; give --token, or set LACHESIS_TOKEN")
        raise InfrastructureError(f"{self.url} answers {status}: {detail(body)}")

    def _found(self) -> None:
        if self.lost:
            log.info("%s answers again", self.url)
        self._heard, self.lost = time.monotonic(), ""

    def _miss(self, reason: str) -> None:
        self.lost = reason
        if self.silent > self._patience:
            raise ServiceLost(
                f"{self.url} has not answered for {self.silent:.0f} s ({reason}); is the run over? A longer "
                "--patience waits longer"
            )


def _cause(error: Exception) -> str:
    if isinstance(error, ClientConnectorError):
        number = error.errno or 0  # negative for a name that is not found
        return os.strerror(number) if number > 0 else error.os_error.strerror or str(error)
    return str(error) or type(error).__name__


def detail(body: bytes) -> str:
    """What an answer says went wrong, in one line."""
    try:
        found = msgspec.json.decode(body)["detail"]
        first = found if isinstance(found, str) else f"{'.'.join(map(str, found[0]['loc'][1:]))}: {found[0]['msg']}"
    except (msgspec.DecodeError, LookupError, TypeError):
        first = body.decode(errors="replace")
    return " ".join(first.split())[:300]
