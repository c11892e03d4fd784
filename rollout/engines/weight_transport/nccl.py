"""Weights over NCCL: a server in the trainer's process, and links by which engines ask it for a version.

Each engine process has a link of its own, opened when it first asks. So an engine that was restarted asks again, and no
engine waits for another. The groups of two are those of vLLM's own weight transfer (``stateless_init_process_group``).
"""

import importlib.util
import secrets
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....verifiers.errors import EngineError

PATIENCE = 120.0
"""Seconds to wait for a link, and for engines that still receive the version before."""


@dataclass(frozen=True)
class Address:
    """Where a ``WeightServer`` listens, and the word that it answers to."""

    host: str
    port: int
    secret: str


class Group:
    """The trainer, rank 0, and one engine process, rank 1: NCCL between GPUs, the group's store between CPUs."""

    def __init__(self, host: str, port: int, rank: int, device: torch.device) -> None:
        self._nccl: Any = None
        if device.type == "cuda":
            from vllm.distributed.weight_transfer.nccl_common import stateless_init_process_group

            torch.cuda.set_device(device)
            self._nccl = stateless_init_process_group(host, port, rank, 2, device)
            if self._nccl.disabled:
                raise EngineError("NCCL cannot be loaded; install it, or set rollout.weight_transport = 'object_store'")
        else:
            from vllm.distributed.utils import StatelessProcessGroup

            self._store = StatelessProcessGroup.create(host, port, rank, 2)

    def broadcast(self, row: Tensor) -> None:
        """Bring the trainer's bytes into the engine's ``row``; on a GPU, when its stream gets to it."""
        if self._nccl is not None:
            self._nccl.broadcast(row, src=0)
        else:
            row.copy_(self._store.broadcast(row, src=0))

    def wait(self) -> None:
        """Return when all that was sent has left."""
        if self._nccl is not None:
            torch.cuda.current_stream().synchronize()


class WeightServer:
    """Sends the current version to each engine that asks for it; one thread for each link, one transfer at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version, self._parts = -1, tuple[Tensor, ...]()
        self._address: Address | None = None

    def pause(self) -> None:
        """Send nothing more until ``serve``.

        Raises:
            EngineError: an engine has been receiving the last version for too long.
        """
        if not self._lock.acquire(timeout=PATIENCE):
            raise EngineError(
                f"an engine has been receiving weights version {self._version} for {PATIENCE:g} s; continue the run "
                "with --resume, and with rollout.weight_transport = 'object_store' if that happens again"
            )
        self._version = -1
        self._lock.release()

    def serve(self, version: int, parts: Sequence[Tensor]) -> Address:
        """Offer these rows of bytes as ``version``; they must stay as they are until ``pause``."""
        with self._lock:
            self._version, self._parts = version, tuple(parts)
            if self._address is None:
                listener = socket.create_server((own_host(), 0))
                host, port = listener.getsockname()[:2]
                self._address = Address(host, port, secrets.token_hex(16))
                threading.Thread(target=self._accept, args=(listener,), name="weights", daemon=True).start()
        return self._address

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._answer, args=(connection,), name="weights link", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        """Open a link with one engine, then send it each version that it asks for, until it hangs up."""
        assert self._address is not None
        with suppress(OSError), connection, connection.makefile("rw") as lines:
            if not secrets.compare_digest(lines.readline().strip(), self._address.secret):
                return
            if importlib.util.find_spec("vllm") is None:
                say(lines, "vLLM, whose NCCL groups are used, is not installed where the trainer runs")
                return
            port = free_port(self._address.host)
            say(lines, str(port))
            device = self._parts[0].device if self._parts else torch.device("cpu")
            group = Group(self._address.host, port, 0, device)
            for line in lines:
                self._send(int(line), group, lines)

    def _send(self, version: int, group: Group, lines: Any) -> None:
        with self._lock:
            if version != self._version:
                say(lines, f"not here; the trainer holds version {self._version}")
                return
            say(lines, "")
            for part in self._parts:
                group.broadcast(part)
            group.wait()


class Link:
    """An engine's side of a ``WeightServer``.

    Args:
        address: of the server.
        device: of the tensors that will be received.

    Raises:
        EngineError: the trainer cannot be reached, or NCCL cannot be loaded.
    """

    def __init__(self, address: Address, device: torch.device) -> None:
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout=PATIENCE)
            self._lines = self._socket.makefile("rw")
            say(self._lines, address.secret)
            self._group = Group(address.host, int(self._lines.readline()), 1, device)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"the trainer's weights at {address.host}:{address.port} cannot be reached ({error}); open the ports "
                "between the machines, or set rollout.weight_transport = 'object_store'"
            ) from error

    def ask(self, version: int) -> None:
        """Ask for a version, whose parts are then received in their order.

        Raises:
            EngineError: the trainer does not have it, or is gone.
        """
        answer = ""
        with suppress(OSError):
            say(self._lines, str(version))
            answer = self._lines.readline()
        if not answer.endswith("\n"):
            raise EngineError(f"the trainer hung up before it sent weights version {version}")
        if answer.strip():
            raise EngineError(f"weights version {version} is {answer.strip()}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def receive(self, row: Tensor) -> None:
        """Fill ``row``, bytes on the link's device, with the next part."""
        self._group.broadcast(row)


def say(lines: Any, text: str) -> None:
    """Write a line, and send it."""
    lines.write(text + "\n")
    lines.flush()


def free_port(host: str) -> int:
    """A port on which nothing listens at the moment."""
    with socket.create_server((host, 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def own_host() -> str:
    """The address under which other machines reach this one; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            host: str = probe.getsockname()[0]
        except OSError:  # no network
            return "127.0.0.1"
    return host
