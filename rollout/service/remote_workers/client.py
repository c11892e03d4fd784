"""The client of a trainer's service: generates on its engine and sends groups, over a connection that may be lost."""

import asyncio
import logging
import random
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from ....verifiers.errors import ConfigError, DataError, EngineError, EngineLost, InfrastructureError
from ...engines.engine import Completion, Request
from .packed_requests import pack_request, unpack_completion
from .welcome import Figures, Welcome, unpack_tokenizer

log = logging.getLogger("lachesis")

Answer = TypeVar("Answer")

_FIRST_DELAY, _LAST_DELAY = 0.1, 5.0  # seconds between two tries; each is about twice the one before
_ABSENT = {502, 504}  # a proxy answers, and not the service
_AGAIN = {408, 429, 503}
_SHORT = ClientTimeout(total=60, sock_connect=10)
_LONG = ClientTimeout(total=None, sock_connect=10)  # a completion takes what it takes; its group has the deadline


class ServiceLost(EngineLost):
    """The service has not answered for too long."""


class RunChanged(InfrastructureError):
    """Another run has the service's address now."""


class GroupRefused(DataError):
    """The service does not take a group, and would not take it later."""


class ServiceClient:
    """Asks a service, and asks again while it does not answer; a ``Generator`` over the trainer's engine.

    Args:
        url: of the service.
        name: of this worker, unlike any other's.
        token: that the service wants; empty for none, or if it stands in the URL.
        patience: seconds without any answer after which ``ServiceLost`` is raised.

    Attributes:
        lost: why the service does not answer; empty while it does.
        changed: whether another run was found to have the address, since the last welcome.
    """

    def __init__(self, url: str, name: str, *, token: str = "", patience: float = 600.0) -> None:
        self._url, self._name, self._patience = url.rstrip("/"), name, patience
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._run = ""
        self._heard = time.monotonic()
        self.lost = ""
        self.changed = False

    async def __aenter__(self) -> Self:
        self._session = ClientSession(headers=self._headers, connector=TCPConnector(limit=0), timeout=_SHORT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def silent(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._heard

    async def welcome(self) -> Welcome:
        """What the run is and needs now.

        Raises:
            ConfigError: the token is wrong, or this is no trainer's service.
            ServiceLost: it did not answer in time.
        """
        status, body = await self._ask("GET", f"/workers/welcome/{self._name}")
        if status == 404:
            raise ConfigError(
                f'{self._url} has no engine for workers; give the URL of a run with [[environments]] use = "service"'
            )
        welcome = _decoded(self._checked(status, body), Welcome)
        self._run, self.changed = welcome.run, False
        return welcome

    async def tokenizer(self, digest: str, folder: Path) -> None:
        """Write the files of the run's tokenizer into ``folder``.

        Raises:
            RunChanged: the run has another tokenizer now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self._ask("GET", f"/workers/tokenizer/{digest}")
        if status == 404:
            raise self._other_run(body)
        unpack_tokenizer(self._checked(status, body), digest, folder)

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the trainer's engine; asked again with the same seed if the answer was lost.

        Raises:
            EngineError: the engine refuses it.
            RunChanged: another run has this address now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self._ask("POST", f"/workers/{self._run}/generate", pack_request(request), _LONG)
        if status in (413, 422):
            raise EngineError(_detail(body))
        return unpack_completion(self._checked(status, body))

    async def send(self, sequence: int, group: bytes) -> Figures:
        """Have a group stored, once even if it is sent again; returns where the run is then.

        Args:
            sequence: number of the group, higher than that of every group before.
            group: from ``pack_group``.

        Raises:
            GroupRefused: the service does not take it, for example because it is too old.
            RunChanged: another run has this address now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self._ask("PUT", f"/workers/{self._run}/groups/{self._name}/{sequence}", group)
        if status in (413, 422):
            raise GroupRefused(_detail(body))
        return _decoded(self._checked(status, body), _Stored).figures

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout: ClientTimeout = _SHORT,  # noqa: ASYNC109
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""
        delay = _FIRST_DELAY
        while True:
            try:
                async with self._session.request(method, self._url + path, data=body, timeout=timeout) as response:
                    status, answer = response.status, await response.read()
                if status not in _ABSENT:
                    self._found()
                if status not in _ABSENT | _AGAIN:
                    return status, answer
                reason = f"{status} {_detail(answer)}"
            except (ClientError, OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                status = 0
            if status in _ABSENT or not status:
                self._miss(reason)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LAST_DELAY)

    def _found(self) -> None:
        if self.lost:
            log.info("%s answers again", self._url)
        self._heard, self.lost = time.monotonic(), ""

    def _miss(self, reason: str) -> None:
        self.lost = reason
        if self.silent > self._patience:
            raise ServiceLost(
                f"{self._url} has not answered for {self.silent:.0f} s ({reason}); is the run over? A longer "
                "--patience waits longer"
            )

    def _checked(self, status: int, body: bytes) -> bytes:
        if status == 200:
            return body
        if status == 401:
            raise ConfigError(f"{self._url} wants another token; give --token, or set LACHESIS_TOKEN")
        if status == 409:
            raise self._other_run(body)
        raise InfrastructureError(f"{self._url} answers {status}: {_detail(body)}")

    def _other_run(self, body: bytes) -> RunChanged:
        self.changed = True
        return RunChanged(_detail(body))


class _Stored(msgspec.Struct):
    figures: Figures


def _decoded(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise InfrastructureError(
            f"the service's answer is not understood ({error}); do both run one release?"
        ) from None


def _detail(body: bytes) -> str:
    """What an answer says went wrong, in one line."""
    try:
        detail = msgspec.json.decode(body)["detail"]
        first = detail if isinstance(detail, str) else f"{'.'.join(map(str, detail[0]['loc'][1:]))}: {detail[0]['msg']}"
    except (msgspec.DecodeError, LookupError, TypeError):
        first = body.decode(errors="replace")
    return " ".join(first.split())[:300]
