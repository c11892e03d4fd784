"""The transports from GPU to GPU: a buffer that CUDA IPC opens on the trainer's GPU, and that NCCL sends to others.

No GPU has run this yet. On a CPU, tests cover all but the two calls that need one: opening an IPC handle, and NCCL's
broadcast, in whose place vLLM's process group sends the bytes through its store.
"""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ....verifiers.errors import EngineError
from .buffer import as_bytes, as_tensor, length_of, places
from .digest import DeviceDigest
from .layout import Layout
from .nccl import Address, Link, WeightServer
from .transport import Shipment

ALIGN = 16
"""Bytes: tensors of all types may begin at a multiple of it, and digests take whole words of it."""

Way = Literal["cuda_ipc", "nccl"]


@dataclass(frozen=True)
class Offer:
    """How engines get at the trainer's buffer.

    Attributes:
        process: the trainer's process id.
        gpu: the UUID of the trainer's GPU; empty on a CPU.
        handle: of the buffer, as the arguments of torch's ``rebuild_cuda_tensor``; None if ``cuda_ipc`` is not offered.
        address: of the trainer's ``WeightServer``; None if ``nccl`` is not offered.
    """

    process: int
    gpu: str
    handle: tuple[Any, ...] | None
    address: Address | None


class GpuSender:
    """Copies the tensors into a buffer on the trainer's GPU, and computes its digest there.

    The buffer is as large as the weights that are sent, and stays. Engines may read it until the next version begins.

    Args:
        ways: to offer to the engines; each engine takes CUDA IPC if it is on the trainer's GPU, else NCCL.
    """

    def __init__(self, ways: tuple[Way, ...] = ("cuda_ipc", "nccl")) -> None:
        self._ways = ways

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        server().pause()
        self._version, self._layout = version, layout
        self._places = places(layout, ALIGN)
        self._row: Tensor | None = None

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        if self._row is None:
            if not tensor.is_cuda and "nccl" not in self._ways:
                raise EngineError(
                    "rollout.weight_transport = 'cuda_ipc' needs a trainer on a GPU, and this one is on the CPU; set "
                    "it to 'auto'"
                )
            self._row = buffer_on(tensor.device, length_of(self._places))
        raw = as_bytes(tensor)
        self._row[self._places[name].start :][: raw.numel()].copy_(raw)

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        row = torch.empty(0, dtype=torch.uint8) if self._row is None else self._row
        digest = DeviceDigest()
        digest.update(row, 0)
        found = digest.hexdigest()  # waits until all copies are done
        handle = handle_of(row.device, row.numel()) if row.is_cuda and "cuda_ipc" in self._ways else None
        parts = [row[place] for place in self._places.values()]
        address = server().serve(self._version, parts) if "nccl" in self._ways else None
        offer = Offer(os.getpid(), uuid_of(row.device), handle, address)
        return Shipment(self._version, self._layout, found, GpuReceiver, offer)


class GpuReceiver:
    """Yields views of the trainer's buffer if it is on this process's GPU, else tensors that NCCL brought."""

    def __init__(self) -> None:
        self._digest = DeviceDigest()

    def receive(self, shipment: Shipment) -> Iterator[tuple[str, Tensor]]:
        """As in ``WeightReceiver``."""
        offer: Offer = shipment.payload
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        if offer.gpu and device.type == "cpu":
            raise EngineError(
                "the weights come from a GPU to an engine without one; set rollout.weight_transport = 'object_store'"
            )
        found = places(shipment.layout, ALIGN)
        if offer.handle and offer.gpu == uuid_of(device):
            yield from self._open(offer, shipment.layout, found, device)
        elif offer.address:
            yield from self._receive(offer.address, shipment, found, device)
        else:
            raise EngineError(
                f"rollout.weight_transport = 'cuda_ipc': the engine is not on the trainer's GPU ({uuid_of(device)} and "
                f"{offer.gpu}); set it to 'nccl' or 'auto'"
            )

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        return self._digest.hexdigest()

    def _open(
        self, offer: Offer, layout: Layout, found: dict[str, slice], device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        if offer.process == os.getpid():
            raise EngineError("CUDA IPC is for two processes, and this is one; set rollout.weight_transport = 'direct'")
        assert offer.handle is not None
        row = opened(offer.handle, device.index)
        for spec in layout:
            yield spec.name, as_tensor(row[found[spec.name]], spec)
        self._digest.update(row, 0)

    def _receive(
        self, address: Address, shipment: Shipment, found: dict[str, slice], device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        link, whole = link_to(address, device), False
        try:
            link.ask(shipment.version)
            for spec in shipment.layout:
                place = found[spec.name]
                row = torch.empty(place.stop - place.start, dtype=torch.uint8, device=device)
                link.receive(row)
                self._digest.update(row, place.start)
                yield spec.name, as_tensor(row, spec)
            whole = True
        finally:
            if not whole:  # what comes next on this link is not known
                link.close()
                link_to.cache_clear()


@functools.lru_cache(maxsize=1)
def buffer_on(device: torch.device, length: int) -> Tensor:
    """The process's buffer, zeros at first: trainer ranks unpickle a new sender for each version."""
    return torch.zeros(length, dtype=torch.uint8, device=device)


@functools.lru_cache(maxsize=1)
def handle_of(device: torch.device, length: int) -> tuple[Any, ...]:
    """The handle of the process's buffer, made once: torch counts who opens each handle that it makes."""
    from torch.multiprocessing.reductions import reduce_tensor

    return tuple(reduce_tensor(buffer_on(device, length))[1])  # type: ignore[no-untyped-call]


@functools.lru_cache(maxsize=1)
def opened(handle: tuple[Any, ...], device: int) -> Tensor:
    """The trainer's buffer in this process; opened once, as ``PackedBufferImporter`` of vLLM's own transfer does."""
    from torch.multiprocessing.reductions import rebuild_cuda_tensor

    own = [*handle[:6], device, *handle[7:]]  # the number that the same GPU has here
    row: Tensor = rebuild_cuda_tensor(*own)  # type: ignore[no-untyped-call]
    return row


@functools.cache
def server() -> WeightServer:
    """The server of this process."""
    return WeightServer()


@functools.lru_cache(maxsize=1)
def link_to(address: Address, device: torch.device) -> Link:
    """The link to a trainer's server, which serves one version after the other."""
    return Link(address, device)


def uuid_of(device: torch.device) -> str:
    """The GPU's UUID, the same in every process; empty for a CPU."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""


def ipc_sender() -> GpuSender:
    """``rollout.weight_transport = "cuda_ipc"``."""
    return GpuSender(("cuda_ipc",))


def nccl_sender() -> GpuSender:
    """``rollout.weight_transport = "nccl"``."""
    return GpuSender(("nccl",))
