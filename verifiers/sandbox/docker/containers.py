"""The Docker backend: hardened containers with one agent each, which end with the process that started them.

An attached stream of the Docker API carries the agent's stdin and stdout. Nothing of the host is mounted, so the daemon
may be remote, rootless or in a virtual machine. The purpose of each measure:

- ``StdinOnce``: the daemon closes the agent's stdin when the attached stream closes, for whatever reason its owner
  ended; the agent then exits, and the daemon removes the container.
- Labels name the owner of a container. Each new owner removes the containers of dead ones, among them those that never
  started and those whose agent hangs. An owner leaves a note in the temporary folder, so that a later run, which may
  not use Docker, asks the daemon only if there may be something to remove.
- The agent keeps two of root's capabilities, SETUID and SETGID, to start jobs as other users; jobs keep none.
"""

import atexit
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from ...errors import ConfigError, SandboxLost
from ...processes.owner import is_abandoned, owner_label
from ...processes.temporary import CONTAINERS, own_path
from .. import agent
from ..inside.network import SETTINGS
from ..job import Limits
from ..pool import AgentPool
from ..settings import SandboxSettings
from .connection import OVERHEAD, DockerConnection
from .daemon import connect, remove, translate_errors
from .profile import docker_profile

OWNER = "lachesis.owner"
"""The label of each container; its value is ``<host>:<pid>:<start time>`` of the process that owns it."""

FOLDERS = ("/box", "/tmp", "/var/tmp", "/dev/shm")
"""The folders that a job can write: file systems in memory, which count against the container's memory."""

QUICK = 10.0
"""Seconds that the daemon may take for an answer while what is left behind is removed."""

_EMPTY_FOLDERS = ("/dev/mqueue", "/dev/pts")
"""Folders that Docker would otherwise make writable without any limit."""

_NETWORK = {f"net.ipv4.{name}": value for name, value in SETTINGS.items()}


@dataclass(frozen=True)
class ContainerLimits:
    """The resource limits of one container, over all of its processes.

    Attributes:
        memory: bytes, including written files.
        disk: bytes of each writable folder.
        files: files and folders in each writable folder.
        processes: processes and threads.
    """

    memory: int
    disk: int
    files: int = 20_000
    processes: int = 1024


@dataclass(frozen=True)
class DockerLauncher:
    """Starts agents in containers.

    Attributes:
        image: the image of the containers, which contains Python 3.11 or later.
        network: whether jobs may use the network.
    """

    image: str
    network: bool = False
    name: str = "docker"

    @cached_property
    def _containers(self) -> "Containers":
        limits = ContainerLimits(memory=Limits().memory + OVERHEAD, disk=Limits().disk)
        command = agent.command("python3")
        return Containers(self.image, command, limits, environment=agent.ENVIRONMENT, network=self.network)

    def start(self) -> DockerConnection:
        """Start an agent and send it its program and its set-up.

        Raises:
            SandboxLost: the daemon could not start it.
            ConfigError: there is no daemon, or no such image.
        """
        connection = self._containers.start()
        try:
            connection.send(agent.program() + agent.setup(container=True, network=self.network))
        except OSError as error:
            connection.close()
            raise SandboxLost(f"no agent can be started: {error}; {connection.diagnosis}") from None
        return connection

    def close(self) -> None:
        """Close the connection to the daemon."""
        if "_containers" in self.__dict__:
            self._containers.close()


def open_docker_sandbox(settings: SandboxSettings) -> AgentPool:
    """Open the sandbox of Docker containers; the first use connects to the daemon, and raises if there is none."""
    return AgentPool(DockerLauncher(settings.image, settings.network), settings.jobs, settings.most_starts)


class Containers:
    """Starts containers of one image that all run ``command``; safe to call from any thread.

    Args:
        image: the name of an image of the daemon.
        command: the command of the containers, which runs as root without root's capabilities.
        limits: the resource limits of each container.
        environment: environment variables, in addition to those of the image.
        network: whether the containers may use the network.

    Raises:
        ConfigError: there is no daemon, or no such image; the message says the cure.
    """

    def __init__(
        self,
        image: str,
        command: Sequence[str],
        limits: ContainerLimits,
        *,
        environment: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> None:
        self._image, self._command, self._limits = image, list(command), limits
        self._environment = dict(environment or {})
        self._network = "bridge" if network else "none"
        self._api = connect()
        try:
            self._check_image()
            self._owner = own_containers(self._api)
        except BaseException:
            self._api.close()
            raise

    def start(self) -> DockerConnection:
        """Start a container with its command.

        Raises:
            SandboxLost: the daemon could not start it.
        """
        with translate_errors(SandboxLost, "Docker cannot start a sandbox"):
            container: str = self._api.create_container(**self._create_options())["Id"]
        try:
            with translate_errors(SandboxLost, "Docker cannot start a sandbox"):
                streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
                stream = self._api.attach_socket(container, streams)
                connection = DockerConnection(container, stream, self._update, self._remove)
                self._api.start(container)
        except BaseException:
            self._remove(container)
            raise
        return connection

    def close(self) -> None:
        """Close the connection to the daemon; containers end with their own connections."""
        self._api.close()

    def _check_image(self) -> None:
        with translate_errors(ConfigError, "Docker cannot look at its images"):
            try:
                config = self._api.inspect_image(self._image)["Config"]
            except NotFound:
                raise ConfigError(
                    f"Docker has no image {self._image!r} for the sandbox; make one from this machine's Python with "
                    "`lachesis doctor --build-image`, or pull one (`docker pull python:3.12-slim`) and set "
                    'sandbox.image = "python:3.12-slim"'
                ) from None
        if config and config.get("Volumes"):
            raise ConfigError(
                f"image {self._image!r} declares volumes ({', '.join(sorted(config['Volumes']))}), which jobs could "
                "write; name another one in sandbox.image"
            )

    def _create_options(self) -> dict[str, Any]:
        """The options of a container; they override the user, entrypoint and health check of the image."""
        limits = self._limits
        writable = f"rw,nosuid,nodev,noexec,mode=1777,size={limits.disk},nr_inodes={limits.files}"
        empty = "ro,nosuid,nodev,noexec,size=4096,nr_inodes=1"
        host = self._api.create_host_config(
            auto_remove=True,
            network_mode=self._network,
            read_only=True,
            tmpfs={**dict.fromkeys(FOLDERS, writable), **dict.fromkeys(_EMPTY_FOLDERS, empty)},
            ipc_mode="private",
            security_opt=["no-new-privileges:true", f"seccomp={docker_profile()}"],
            cap_drop=["ALL"],
            cap_add=["SETUID", "SETGID"],
            pids_limit=limits.processes,
            mem_limit=limits.memory,
            memswap_limit=limits.memory,
            ulimits=[{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 1024, "Hard": 1024}],
            log_config={"Type": "none"},
            sysctls=_NETWORK,
            init=False,
        )
        return {
            "image": self._image,
            "entrypoint": self._command[:1],
            "command": self._command[1:],
            "environment": self._environment,
            "user": "0:0",
            "working_dir": "/",
            "hostname": "sandbox",
            "healthcheck": {"test": ["NONE"]},
            "labels": {OWNER: self._owner},
            "stdin_open": True,  # with attached output, this implies StdinOnce
            "tty": False,
            "host_config": host,
        }

    def _update(self, container: str, memory: int) -> None:
        with translate_errors(SandboxLost, "Docker cannot change a sandbox's memory"):
            self._api.update_container(container, mem_limit=memory, memswap_limit=memory)

    def _remove(self, container: str) -> None:
        remove(self._api, container)


def own_containers(api: Any) -> str:
    """Remove the containers of dead owners, and return the label by which those of this process are found.

    Raises:
        SandboxLost: the daemon failed.
    """
    note = own_path(CONTAINERS)
    with suppress(OSError):
        with suppress(FileNotFoundError):
            note.unlink()  # never written through a link that somebody has put there
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.fsencode(_daemon()))
        atexit.register(_forget)
    remove_abandoned(api)
    return owner_label(os.getpid())


def _forget() -> None:
    """Remove the note of this process, which ends in the usual way; in a forked child, that is not the parent's."""
    with suppress(OSError):
        own_path(CONTAINERS).unlink(missing_ok=True)


def remove_noted(note: Path) -> list[str]:
    """Remove the containers that a dead process may have left, and then its note; return their ids.

    The note stays if its daemon is not the one that is used now.

    Raises:
        ConfigError, SandboxLost: the daemon does not answer.
    """
    try:
        if os.fsdecode(note.read_bytes()) != _daemon():
            return []
    except OSError:
        return []
    api = connect(seconds=QUICK)
    try:
        removed = remove_abandoned(api)
    finally:
        api.close()
    with suppress(OSError):
        note.unlink()
    return removed


def _daemon() -> str:
    return os.environ.get("DOCKER_HOST", "")


def remove_abandoned(api: Any) -> list[str]:
    """Remove the containers of this host and user whose owner is dead, and their volumes; return their ids.

    Raises:
        SandboxLost: the daemon failed.
    """
    with translate_errors(SandboxLost, "Docker cannot list its containers"):
        containers = api.containers(all=True, filters={"label": OWNER})
    abandoned = [container["Id"] for container in containers if is_abandoned(container["Labels"][OWNER])]
    for container in abandoned:
        remove(api, container)
    return abandoned
