"""The transport through memory: one flat buffer with a hash, which Ray's object store shares between processes."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from .layout import Layout, TensorSpec
from .transport import Shipment


class ObjectStoreSender:
    """Copies the tensors into one buffer, and hashes each (XXH3, 128 bits) while the processor's caches still hold it.

    The shipment's payload is that buffer: within a process it is handed over as it is, and to other processes Ray
    copies it once into the object store of each machine, where they read it without a copy.
    """

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        self._version, self._layout = version, layout
        self._places = places(layout)
        self._buffer = np.empty(sum(size_of(spec) for spec in layout), np.uint8)
        self._hash = xxhash.xxh3_128()

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        part = self._buffer[self._places[name]]
        part[:] = as_bytes(tensor)
        self._hash.update(part.data)

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        return Shipment(self._version, self._layout, self._hash.hexdigest(), ObjectStoreReceiver, self._buffer)


class ObjectStoreReceiver:
    """Copies the tensors out of the buffer, onto the CPU, one by one."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def receive(self, shipment: Shipment) -> Iterator[tuple[str, Tensor]]:
        """As in ``WeightReceiver``."""
        found = places(shipment.layout)
        for spec in shipment.layout:
            part: npt.NDArray[np.uint8] = shipment.payload[found[spec.name]]
            self._hash.update(part.data)
            yield spec.name, torch.from_numpy(part.copy()).view(getattr(torch, spec.dtype)).reshape(spec.shape)

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        return self._hash.hexdigest()


def places(layout: Layout) -> dict[str, slice]:
    """Where each tensor lies in the buffer, in bytes."""
    found, start = {}, 0
    for spec in layout:
        found[spec.name] = slice(start, start + size_of(spec))
        start = found[spec.name].stop
    return found


def size_of(spec: TensorSpec) -> int:
    """Bytes of one tensor."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return math.prod(spec.shape) * dtype.itemsize


def as_bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """The tensor's bytes, on the CPU; copied only if the tensor is elsewhere or not contiguous."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
