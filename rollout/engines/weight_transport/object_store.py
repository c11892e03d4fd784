"""The transport through memory: one flat buffer with a hash, which Ray's object store shares between processes."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from .buffer import as_bytes, as_tensor, length_of, places, size_of
from .layout import Layout
from .transport import Shipment


class ObjectStoreSender:
    """Copies the tensors into one buffer, and hashes each (XXH3, 128 bits) while the processor's caches still hold it.

    The shipment's payload is that buffer: within a process it is handed over as it is, and to other processes Ray
    copies it once into the object store of each machine, where they read it without a copy. Tensors on a GPU are copied
    into pinned memory, all at once, and hashed when all have arrived.
    """

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        self._version, self._layout = version, layout
        self._places = places(layout)
        self._buffer: Tensor | None = None
        self._hash = xxhash.xxh3_128()
        self._on_gpu = False

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        if self._buffer is None:
            self._on_gpu = tensor.is_cuda
            self._buffer = new_memory(length_of(self._places), self._on_gpu)
        part = self._buffer[self._places[name]]
        if self._on_gpu:
            part.copy_(as_bytes(tensor), non_blocking=True)
        else:
            part.numpy()[:] = as_bytes(tensor).numpy()
            self._hash.update(part.numpy().data)

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        whole, self._buffer = torch.empty(0, dtype=torch.uint8) if self._buffer is None else self._buffer, None
        if self._on_gpu:
            torch.cuda.synchronize()
            self._hash.update(whole.numpy().data)
        return Shipment(self._version, self._layout, self._hash.hexdigest(), ObjectStoreReceiver, whole.numpy())


class ObjectStoreReceiver:
    """Copies the tensors out of the buffer, onto the CPU, one by one; into pinned memory if the process uses a GPU."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def receive(self, shipment: Shipment) -> Iterator[tuple[str, Tensor]]:
        """As in ``WeightReceiver``."""
        found, pinned = places(shipment.layout), bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
        for spec in shipment.layout:
            part: npt.NDArray[np.uint8] = shipment.payload[found[spec.name]]
            self._hash.update(part.data)
            row = new_memory(size_of(spec), pinned)
            row.numpy()[:] = part
            yield spec.name, as_tensor(row, spec)

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        return self._hash.hexdigest()


def new_memory(length: int, pinned: bool) -> Tensor:
    """Bytes, uint8, on the CPU: pinned for copies from and to a GPU, or numpy's, whose huge pages make it fast."""
    if pinned:
        return torch.empty(length, dtype=torch.uint8, pin_memory=True)
    return torch.from_numpy(np.empty(length, np.uint8))
