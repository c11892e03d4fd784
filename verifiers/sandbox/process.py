"""Agents as processes of this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, SandboxLost
from . import agent
from .pool import AgentPool
from .settings import SandboxSettings

_SYSTEM = ("/proc", "/sys", "/dev")
SEND_SECONDS = 60.0
_END_SECONDS = 2.0


class ProcessConnection:
    """A socket to an agent's process; when it closes, the agent ends, and its jobs with it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        self._closing = threading.Lock()
        _alive.add(self)
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                list(command),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env=agent.ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # Ctrl-C on the terminal is for us
            )

    @property
    def pid(self) -> int:
        """The number of the agent's outermost process."""
        return self._process.pid

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """Some bytes, empty at the end."""
        self._socket.settimeout(max(seconds, 0.001))
        return self._socket.recv(1 << 16)

    def limit_memory(self, memory: int) -> None:
        """The agent does it, with a cgroup."""

    def close(self) -> None:
        """Hang up; kill what does not end by itself."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes an owner that waits for bytes
        with self._closing:
            self._socket.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


_alive: "weakref.WeakSet[ProcessConnection]" = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child: its copies of the sockets would keep the agents of a dead parent, and their jobs, running."""
    for connection in list(_alive):
        with contextlib.suppress(OSError):
            os.close(connection._socket.detach())
    _alive.clear()


os.register_at_fork(after_in_child=_let_go)


@dataclass(frozen=True)
class ProcessLauncher:
    """Starts agents as bare interpreters, with an empty environment and no descriptor of ours but the socket.

    Each is a program of its own, not a fork of this process: whatever was imported or opened here before is not there.

    Attributes:
        network: whether jobs reach the network.
        packages: folders of Python packages for jobs to import.
    """

    network: bool = False
    packages: tuple[Path, ...] = ()
    name: str = "process"

    @property
    def command(self) -> list[str]:
        """What starts one: the interpreter itself, not that of a virtual environment."""
        return agent.command(getattr(sys, "_base_executable", sys.executable))

    def start(self) -> ProcessConnection:
        """A new agent."""
        try:
            connection = ProcessConnection(self.command)
            connection.send(
                agent.program() + agent.setup(container=False, network=self.network, packages=self.packages)
            )
        except OSError as error:
            raise SandboxLost(f"no agent can be started: {error}") from None
        return connection

    def close(self) -> None:
        """Nothing is shared between agents."""


def open_process_sandbox(settings: SandboxSettings) -> AgentPool:
    """Open the sandbox of processes on this machine.

    Raises:
        ConfigError: this is not Linux, or ``settings.packages`` names a folder that jobs could not use.
    """
    if sys.platform != "linux":
        raise ConfigError(f"the process sandbox needs Linux, this is {sys.platform}; use Docker")
    for folder in settings.packages:
        _check_packages(folder)
    return AgentPool(ProcessLauncher(settings.network, settings.packages), settings.jobs)


def _check_packages(folder: Path) -> None:
    found = folder.resolve()
    if not found.is_dir():
        raise ConfigError(f"sandbox.packages names {str(folder)!r}, which is no folder")
    if found == found.parent or any(found.is_relative_to(place) for place in _SYSTEM):
        raise ConfigError(
            f"sandbox.packages names {str(folder)!r}, which holds more than packages; name a folder of them"
        )
