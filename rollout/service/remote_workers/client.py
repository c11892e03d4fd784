"""The client of a trainer's service: generates on its engine and sends groups, over a connection that may be lost."""

from pathlib import Path
from typing import TypeVar

import msgspec

from ....verifiers.errors import ConfigError, DataError, EngineError, InfrastructureError
from ....verifiers.group import Group
from ...engines.engine import Completion, Request
from .connection import LONG, Connection, detail
from .packed_groups import pack_group
from .packed_requests import pack_request, unpack_completion
from .welcome import Figures, Welcome, unpack_tokenizer

Answer = TypeVar("Answer")


class RunChanged(InfrastructureError):
    """Another run has the service's address now."""


class GroupRefused(DataError):
    """The service does not take a group, and would not take it later."""


class ServiceClient(Connection):
    """Asks a service, and asks again while it does not answer; a ``Generator`` over the trainer's engine.

    Args:
        url: of the service.
        name: of this worker, unlike any other's.
        token: that the service wants; empty for none, or if it stands in the URL.
        patience: seconds without any answer after which ``ServiceLost`` is raised.

    Attributes:
        changed: whether another run was found to have the address, since the last welcome.
        over: False; the run ends by no longer answering.
    """

    over = False

    def __init__(self, url: str, name: str, *, token: str = "", patience: float = 600.0) -> None:
        super().__init__(url, token=token, patience=patience)
        self._name = name
        self._run = ""
        self.changed = False

    async def welcome(self) -> Welcome:
        """What the run is and needs now.

        Raises:
            ConfigError: the token is wrong, or this is no trainer's service.
            ServiceLost: it did not answer in time.
        """
        status, body = await self.ask("GET", f"/workers/welcome/{self._name}")
        if status == 404:
            raise ConfigError(
                f'{self.url} has no engine for workers; give the URL of a run with [[environments]] use = "service", '
                "or --engine for the trainer of lachesis serve"
            )
        welcome = _decoded(self.checked(status, body), Welcome)
        self._run, self.changed = welcome.run, False
        return welcome

    async def tokenizer(self, digest: str, folder: Path) -> None:
        """Write the files of the run's tokenizer into ``folder``.

        Raises:
            RunChanged: the run has another tokenizer now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self.ask("GET", f"/workers/tokenizer/{digest}")
        if status == 404:
            raise self._other_run(body)
        unpack_tokenizer(self.checked(status, body), digest, folder)

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the trainer's engine; asked again with the same seed if the answer was lost.

        Raises:
            EngineError: the engine refuses it.
            RunChanged: another run has this address now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self.ask("POST", f"/workers/{self._run}/generate", pack_request(request), LONG)
        if status in (413, 422):
            raise EngineError(detail(body))
        return unpack_completion(self.checked(status, body))

    async def send(self, sequence: int, group: Group) -> Figures:
        """Have a group stored, once even if it is sent again; returns where the run is then.

        Args:
            sequence: number of the group, higher than that of every group before.
            group: all of it is sent.

        Raises:
            GroupRefused: the service does not take it, for example because it is too old.
            RunChanged: another run has this address now.
            ServiceLost: it did not answer in time.
        """
        status, body = await self.ask("PUT", f"/workers/{self._run}/groups/{self._name}/{sequence}", pack_group(group))
        if status in (413, 422):
            raise GroupRefused(detail(body))
        return _decoded(self.checked(status, body), _Stored).figures

    def checked(self, status: int, body: bytes) -> bytes:
        """As in ``Connection``; raises ``RunChanged`` if another run has this address."""
        if status == 409:
            raise self._other_run(body)
        return super().checked(status, body)

    def _other_run(self, body: bytes) -> RunChanged:
        self.changed = True
        return RunChanged(detail(body))


class _Stored(msgspec.Struct):
    figures: Figures


def _decoded(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise InfrastructureError(
            f"the service's answer is not understood ({error}); do both run one release?"
        ) from None
