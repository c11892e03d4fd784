"""The relay: it connects a job's channel to the model's server, which is all that the job can reach."""

import socket
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from ...verifiers.errors import SandboxLost
from .inside.launcher import Links, wait

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS, _POLL_SECONDS = 1.0, 0.01
"""How long the relay waits at a time if the sandbox can wake it, and if it has to ask."""


class Channel(Protocol):
    """The channel to a launcher: of a sandbox's session, or of a container."""

    def write(self, data: bytes) -> None:
        """Send bytes; raises ``SessionEnded`` or ``OSError`` if the other end is gone."""
        ...

    def receive(self, seconds: float) -> bytes:
        """Wait at most ``seconds`` for bytes; return them, or none. Raises ``SessionEnded`` at the end."""
        ...

    def fileno(self) -> int:
        """A descriptor for ``select``; -1 if the caller has to poll."""
        ...


def connector(url: str) -> Callable[[], socket.socket]:
    """Opens connections to the server at ``url``, whose path does not count."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    return lambda: socket.create_connection(address, timeout=_CONNECT_SECONDS)


class Relay:
    """Carries a job's connections while the job runs; it is the ``drive`` of ``Sandbox.converse``.

    Attributes:
        started: whether the job has begun.
    """

    def __init__(self, connect: Callable[[], socket.socket] | None) -> None:
        self._connect = connect
        self.started = False

    def run(self, session: Channel) -> None:
        """Carry bytes until the job ends, which raises ``SessionEnded``; return if the job breaks the protocol.

        Raises:
            SandboxLost: the job was started again. What the program said to the model cannot be said again, so the
                episode has to be played again.
        """
        if self.started:
            raise SandboxLost("the sandbox was lost while an agent program ran in it")
        self.started = True
        links = Links(session.write, self._connect)
        wakes = session.fileno() >= 0
        try:
            while True:
                watched = [*links.readers, *([session] if wakes else [])]
                seconds = _IDLE_SECONDS if wakes else _POLL_SECONDS
                links.carry(*wait(watched, links.writers, seconds))
                links.receive(session.receive(0.0 if wakes else _POLL_SECONDS))
        except ValueError:
            return
        finally:
            links.close()
