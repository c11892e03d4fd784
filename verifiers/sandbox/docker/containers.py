"""Hardened Docker containers, each with one agent inside, that end with the process that started them.

The agent's stdin and stdout are one attached stream of the Docker API; nothing of the host is mounted, so the daemon
may be remote, rootless or in a virtual machine. What each layer is for:

- ``StdinOnce``: the daemon closes the agent's stdin when the attached stream hangs up, however its owner ended; the
  agent then exits, and the daemon removes the container.
- Labels name the owner; containers of an owner that is dead are removed whenever a new one begins. It takes those that
  were created and never started, and those whose agent is stuck.
- Of root's capabilities the agent keeps SETUID and SETGID, to start jobs as other users; jobs keep none.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from docker.errors import NotFound

from ...errors import ConfigError, SandboxLost
from .. import agent
from ..job import Limits
from ..pool import AgentPool
from ..settings import SandboxSettings
from .connection import OVERHEAD, DockerConnection
from .daemon import connect, failures, remove
from .owner import is_abandoned, owner_label
from .profile import docker_profile

OWNER = "lachesis.owner"
"""Label of our containers: ``<host>:<pid>:<start time>`` of the process that they end with."""

FOLDERS = ("/box", "/tmp", "/var/tmp", "/dev/shm")
"""What a job can write: file systems in memory, counted against the container's memory."""

_EMPTIED = ("/dev/mqueue", "/dev/pts")
"""What Docker would make writable, outside of all limits."""


@dataclass(frozen=True)
class Room:
    """How much one container has for all of its processes together.

    Attributes:
        memory: bytes, written files included.
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
        image: what holds their Python, 3.11 or later.
        network: whether jobs reach the network.
    """

    image: str
    network: bool = False
    name: str = "docker"

    @cached_property
    def _containers(self) -> "Containers":
        room = Room(memory=Limits().memory + OVERHEAD, disk=Limits().disk)
        command = agent.command("python3")
        return Containers(self.image, command, room, environment=agent.ENVIRONMENT, network=self.network)

    def start(self) -> DockerConnection:
        """A new agent, which has been given its program and its set-up.

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
        """Forget the daemon."""
        if "_containers" in self.__dict__:
            self._containers.close()


def open_docker_sandbox(settings: SandboxSettings) -> AgentPool:
    """Open the sandbox of Docker containers; they start on first use, and so a missing daemon shows only then."""
    return AgentPool(DockerLauncher(settings.image, settings.network), settings.jobs)


class Containers:
    """Starts containers of one image that all run ``command``; safe to call from any thread.

    Args:
        image: a name that the daemon knows.
        command: what runs in them, as root without that user's powers.
        room: what each has.
        environment: variables beside those of the image.
        network: whether they reach the network.

    Raises:
        ConfigError: there is no daemon, or no such image; the message says the cure.
    """

    def __init__(
        self,
        image: str,
        command: Sequence[str],
        room: Room,
        *,
        environment: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> None:
        self._image, self._command, self._room = image, list(command), room
        self._environment = dict(environment or {})
        self._network = "bridge" if network else "none"
        self._api = connect()
        try:
            self._check_image()
            remove_abandoned(self._api)
        except BaseException:
            self._api.close()
            raise
        self._owner = owner_label(os.getpid())

    def start(self) -> DockerConnection:
        """A new container whose command is running.

        Raises:
            SandboxLost: the daemon could not start it.
        """
        with failures(SandboxLost, "Docker cannot start a sandbox"):
            container: str = self._api.create_container(**self._options())["Id"]
        try:
            with failures(SandboxLost, "Docker cannot start a sandbox"):
                everything = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
                stream = self._api.attach_socket(container, everything)
                connection = DockerConnection(container, stream, self._update, self._remove)
                self._api.start(container)
        except BaseException:
            self._remove(container)
            raise
        return connection

    def close(self) -> None:
        """Forget the daemon; containers end with their connections."""
        self._api.close()

    def _check_image(self) -> None:
        with failures(ConfigError, "Docker cannot look at its images"):
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

    def _options(self) -> dict[str, Any]:
        """What is asked of the daemon; what an image may bring along (user, entrypoint, health check) is overruled."""
        room = self._room
        writable = f"rw,nosuid,nodev,noexec,mode=1777,size={room.disk},nr_inodes={room.files}"
        empty = "ro,nosuid,nodev,noexec,size=4096,nr_inodes=1"
        host = self._api.create_host_config(
            auto_remove=True,
            network_mode=self._network,
            read_only=True,
            tmpfs={**dict.fromkeys(FOLDERS, writable), **dict.fromkeys(_EMPTIED, empty)},
            ipc_mode="private",
            security_opt=["no-new-privileges:true", f"seccomp={docker_profile()}"],
            cap_drop=["ALL"],
            cap_add=["SETUID", "SETGID"],
            pids_limit=room.processes,
            mem_limit=room.memory,
            memswap_limit=room.memory,
            ulimits=[{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 1024, "Hard": 1024}],
            log_config={"Type": "none"},
            sysctls={"net.ipv4.tcp_max_tw_buckets": "0"},  # no port of one job stays taken for the next
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
            "stdin_open": True,  # with attached output that is StdinOnce too
            "tty": False,
            "host_config": host,
        }

    def _update(self, container: str, memory: int) -> None:
        with failures(SandboxLost, "Docker cannot change a sandbox's memory"):
            self._api.update_container(container, mem_limit=memory, memswap_limit=memory)

    def _remove(self, container: str) -> None:
        remove(self._api, container)


def remove_abandoned(api: Any) -> list[str]:
    """Remove the containers whose owner was a process of this host and is dead; their ids.

    Raises:
        SandboxLost: the daemon failed.
    """
    with failures(SandboxLost, "Docker cannot list its containers"):
        ours = api.containers(all=True, filters={"label": OWNER})
    gone = [container["Id"] for container in ours if is_abandoned(container["Labels"][OWNER])]
    for container in gone:
        remove(api, container)
    return gone
