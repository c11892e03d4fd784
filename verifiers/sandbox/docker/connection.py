"""The connection to the agent in one Docker container: the attached stream of its stdin and stdout."""

import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ...errors import SandboxLost
from .daemon import SECONDS

OVERHEAD = 48 << 20
"""Bytes of a container's memory that the agent itself needs."""

_HEADER = struct.Struct(">BxxxI")
_STDOUT, _STDERR = 1, 2
_STDERR_BYTES = 8192


class DockerConnection:
    """The stdin and stdout of the agent in one container, for one owner at a time."""

    def __init__(
        self,
        container: str,
        stream: Any,
        update: Callable[[str, int], None],
        remove: Callable[[str], None],
    ) -> None:
        self.container = container
        self._memory = 0
        self._response = getattr(stream, "_response", stream)  # closed as a whole, because it keeps the socket open
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._update, self._remove = update, remove
        self._kind = self._left = 0
        self._header = b""
        self._errors = b""
        self._ended = False
        self._closing, self._in_use = threading.Lock(), threading.Lock()
        self._closed = False
        _alive.add(self)

    def fileno(self) -> int:
        """For ``select``. It may be readable because of stderr only, and then ``receive`` still waits."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send all of ``data`` to the agent's stdin.

        Raises:
            OSError: the container has ended, or reads nothing for a minute.
        """
        with self._in_use:
            self._socket.settimeout(SECONDS)
            self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """Receive some bytes of the agent's stdout, none at its end.

        Raises:
            TimeoutError: nothing arrived within ``seconds``.
            ConnectionError: the agent has ended after writing to its stderr; the message quotes it.
        """
        deadline = time.monotonic() + seconds
        with self._in_use:
            while not self._ended:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    chunk = self._socket.recv(1 << 16)
                except TimeoutError:
                    raise TimeoutError(f"nothing from the sandbox within {seconds:g} s") from None
                except ConnectionResetError:
                    chunk = b""
                self._ended = not chunk
                output = self._stdout_of(chunk)
                if output:
                    return output
        if self._errors and not self._closed:
            raise ConnectionError(f"it ended, saying: {self.diagnosis}")
        return b""

    @property
    def diagnosis(self) -> str:
        """The end of what the agent wrote to its stderr, as far as it was received."""
        return self._errors.decode(errors="replace").strip()

    def limit_memory(self, memory: int) -> None:
        """Limit the next job to ``memory`` bytes, for all of its processes and files together.

        Raises:
            SandboxLost: the container already uses more, or has ended.
        """
        if memory != self._memory:
            self._memory = 0
            self._update(self.container, memory + OVERHEAD)
            self._memory = memory

    def close(self) -> None:
        """Kill the container and remove it; returns when it is removed."""
        with self._closing:
            if self._closed:
                return
            self._closed = self._ended = True
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for bytes
            _alive.discard(self)
            with suppress(SandboxLost):  # if the daemon is down, a later owner removes the container
                self._remove(self.container)
            with self._in_use:  # not while a thread reads from the descriptor, which could be reused
                self._response.close()

    def _stdout_of(self, chunk: bytes) -> bytes:
        """The bytes of stdout in ``chunk``, which is a piece of a sequence of frames of stdout and stderr."""
        output = []
        while chunk:
            if not self._left:
                take = _HEADER.size - len(self._header)
                self._header, chunk = self._header + chunk[:take], chunk[take:]
                if len(self._header) == _HEADER.size:
                    self._kind, self._left = _HEADER.unpack(self._header)
                    self._header = b""
                continue
            part, chunk = chunk[: self._left], chunk[self._left :]
            self._left -= len(part)
            if self._kind == _STDOUT:
                output.append(part)
            elif self._kind == _STDERR:
                self._errors = (self._errors + part)[-_STDERR_BYTES:]
        return b"".join(output)


_alive: "weakref.WeakSet[DockerConnection]" = weakref.WeakSet()


def _close_inherited_sockets() -> None:
    """In a forked child: close its copies of the sockets, which would keep the containers of a dead parent running."""
    for connection in list(_alive):
        with suppress(OSError, AttributeError):  # a connection over SSH is not a socket; its program ends with its pipe
            os.close(connection._socket.detach())
    _alive.clear()


os.register_at_fork(after_in_child=_close_inherited_sockets)
