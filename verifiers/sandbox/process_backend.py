"""The process backend: agents that are processes of this machine."""

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
from pathlib import Path, PurePosixPath

from ..errors import ConfigError, SandboxLost
from . import agent
from .pool import AgentPool
from .settings import SandboxSettings

_SYSTEM = ("/proc", "/sys", "/dev")
_OWN = ("/tmp", "/var/tmp", "/box", "/run", "/packages")
SEND_SECONDS = 60.0
_EXIT_SECONDS = 2.0


class ProcessConnection:
    """A socket to an agent's process; when it closes, the agent and its jobs end."""

    def __init__(self, command: Sequence[str]) -> None:
        self._socket, agent_end = socket.socketpair()
        self._closing = threading.Lock()
        _alive.add(self)
        with agent_end:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                list(command),
                stdin=agent_end.fileno(),
                stdout=agent_end.fileno(),
                stderr=subprocess.DEVNULL,
                env=agent.ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # so that Ctrl-C reaches only Lachesis
            )

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """The id of the agent's outermost process."""
        return self._process.pid

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """Receive some bytes; none at the end of the stream."""
        self._socket.settimeout(max(seconds, 0.001))
        return self._socket.recv(1 << 16)

    def limit_memory(self, memory: int) -> None:
        """Do nothing: the agent limits memory itself, with a cgroup."""

    def close(self) -> None:
        """Close the socket, and kill the agent if it does not end by itself."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for bytes
        with self._closing:
            self._socket.close()
            try:
                self._process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


_alive: "weakref.WeakSet[ProcessConnection]" = weakref.WeakSet()


def _close_inherited_sockets() -> None:
    """In a forked child: close its copies of the sockets, which would keep the agents of a dead parent running."""
    for connection in list(_alive):
        with contextlib.suppress(OSError):
            os.close(connection._socket.detach())
    _alive.clear()


os.register_at_fork(after_in_child=_close_inherited_sockets)


@dataclass(frozen=True)
class ProcessLauncher:
    """Starts agents as bare interpreters, with an empty environment and no open descriptor but the socket.

    Each agent is a new program and not a fork, so it contains nothing that this process has imported or opened.

    Attributes:
        network: whether jobs may use the network.
        packages: folders of Python packages that jobs may import.
        folders: folders that jobs may read at their own paths.
        writable: further folders that each job may write.
    """

    network: bool = False
    packages: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    writable: tuple[str, ...] = ()
    name: str = "process"

    @property
    def command(self) -> list[str]:
        """The command that starts an agent, with the base interpreter and not that of a virtual environment."""
        return agent.command(getattr(sys, "_base_executable", sys.executable))

    def start(self) -> ProcessConnection:
        """Start an agent."""
        try:
            connection = ProcessConnection(self.command)
            connection.send(
                agent.program()
                + agent.setup(
                    container=False,
                    network=self.network,
                    packages=self.packages,
                    folders=self.folders,
                    writable=self.writable,
                )
            )
        except OSError as error:
            raise SandboxLost(f"no agent can be started: {error}") from None
        return connection

    def close(self) -> None:
        """Do nothing: agents share nothing."""


def open_process_sandbox(settings: SandboxSettings) -> AgentPool:
    """Open the sandbox of processes on this machine.

    Raises:
        ConfigError: this is not Linux, or ``packages`` or ``folders`` name a folder that jobs could not use.
    """
    if sys.platform != "linux":
        raise ConfigError(f"the process sandbox needs Linux, this is {sys.platform}; use Docker")
    for folder in settings.packages:
        _check_packages(folder)
    for folder in settings.folders:
        _check_folder(folder)
    for path in settings.writable:
        _check_writable(path)
    folders = tuple(folder.resolve() for folder in settings.folders)
    launcher = ProcessLauncher(settings.network, settings.packages, folders, settings.writable)
    return AgentPool(launcher, settings.jobs, settings.most_starts)


def _check_folder(folder: Path) -> None:
    found = folder.resolve()
    if not folder.is_absolute() or not found.is_dir():
        raise ConfigError(f"sandbox.folders names {str(folder)!r}; give the absolute path of an existing folder")
    if found == found.parent or any(found.is_relative_to(place) for place in (*_SYSTEM, *_OWN)):
        raise ConfigError(
            f"sandbox.folders names {str(folder)!r}, a place where a job has files of its own "
            f"({', '.join((*_SYSTEM, *_OWN))}) or the whole machine; move the folder to another place"
        )


def _check_writable(path: str) -> None:
    taken = (*_SYSTEM, *_OWN, "/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc")
    folder = PurePosixPath(path)
    if str(folder) != path or ".." in folder.parts or not folder.is_absolute() or path == "/":
        raise ConfigError(f"sandbox.writable names {path!r:.80}; give absolute paths such as /app")
    if any(folder.is_relative_to(place) for place in taken):
        raise ConfigError(f"sandbox.writable names {path!r:.80}, which is in a folder of the system; name another one")


def _check_packages(folder: Path) -> None:
    found = folder.resolve()
    if not found.is_dir():
        raise ConfigError(f"sandbox.packages names {str(folder)!r}, which is not a folder; correct the path")
    if found == found.parent or any(found.is_relative_to(place) for place in _SYSTEM):
        raise ConfigError(
            f"sandbox.packages names {str(folder)!r}, which contains system files; name a folder of packages"
        )
