"""The network of a program's container: a loopback interface on which nothing but the model's server answers.

A second container, of the sandbox's image, owns the network. It listens on the loopback interface and carries what
comes over its stdin and stdout, as the launcher does in a sandbox. It ends when this process ends. The program's
container joins its network only, so the program sees none of its processes and files.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ....verifiers.errors import SandboxLost
from ....verifiers.sandbox.docker.connection import DockerConnection
from ....verifiers.sandbox.docker.containers import ContainerLimits, Containers
from ....verifiers.sandbox.protocol import SessionEnded
from ...agent_program.inside import launcher
from ...agent_program.relay import Relay, connector

_SOURCE = Path(launcher.__file__).read_text(encoding="utf-8")
_START = 'import sys; names = {"__name__": "launcher"}; exec(sys.argv[1], names); names["forward"]()'
_COMMAND = ("python3", "-I", "-S", "-B", "-c", _START, _SOURCE)
_LIMITS = ContainerLimits(memory=256 << 20, disk=1 << 20, files=100, processes=8)
_START_SECONDS = 60.0


class Networks:
    """Makes networks, with containers of ``image``, which has Python 3.11 or later; safe to call from any thread.

    Args:
        image: the sandbox's image.
        open_network: whether programs reach what this machine reaches, too.

    Raises:
        ConfigError: there is no daemon, or no such image.
    """

    def __init__(self, image: str, open_network: bool) -> None:
        self._containers = Containers(image, _COMMAND, _LIMITS, network=open_network)

    @contextmanager
    def joined(self, url: str) -> Iterator[tuple[str, str]]:
        """A network for one program: Docker's name of it, and the URL at which the server at ``url`` answers there.

        Raises:
            SandboxLost: the daemon could not start it.
        """
        connection = self._containers.start()
        thread: threading.Thread | None = None
        try:
            port = _read_port(connection)
            thread = threading.Thread(target=_carry, args=(connection, url), daemon=True, name="harbor-gateway")
            thread.start()
            yield f"container:{connection.container}", f"http://127.0.0.1:{port}"
        finally:
            connection.close()
            if thread is not None:
                thread.join()

    def close(self) -> None:
        """Close the connection to the daemon."""
        self._containers.close()


def _read_port(connection: DockerConnection) -> int:
    said = b""
    try:
        while len(said) < 2:
            part = connection.receive(_START_SECONDS)
            if not part:
                raise ConnectionError(f"it ended: {connection.diagnosis}")
            said += part
    except (TimeoutError, OSError) as error:
        raise SandboxLost(f"the network of a task's container cannot be made: {error}") from None
    return int.from_bytes(said[:2], "big")


def _carry(connection: DockerConnection, url: str) -> None:
    """Carry connections until the container ends."""
    try:
        Relay(connector(url)).run(_Channel(connection))
    except (SessionEnded, OSError):
        return


class _Channel:
    """The stdin and stdout of a container as the channel of a relay."""

    def __init__(self, connection: DockerConnection) -> None:
        self._connection = connection
        self.write: Callable[[bytes], None] = connection.send
        self.fileno = connection.fileno

    def receive(self, seconds: float) -> bytes:
        """Wait at most ``seconds`` for bytes; return them, or none. Raises ``SessionEnded`` at the end."""
        try:
            data = self._connection.receive(max(seconds, 0.001))
        except TimeoutError:
            return b""
        if not data:
            raise SessionEnded
        return data
