"""The transport within one process: the engine copies from the trainer's own tensors."""

import os
from collections.abc import Iterator
from typing import Any

import xxhash
from torch import Tensor

from ....verifiers.errors import EngineError
from .layout import Layout
from .transport import Shipment


class DirectSender:
    """Hands the tensors over as they are, so an update is one copy, on whatever device they are.

    The trainer changes no weight before the engine has copied them. As nothing travels, the digest is of the layout.
    """

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        self._version, self._layout = version, layout
        self._tensors = HeldTensors()

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        self._tensors[name] = tensor.detach()

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        tensors, self._tensors = self._tensors, HeldTensors()
        return Shipment(self._version, self._layout, digest_of(self._layout), DirectReceiver, tensors)


class HeldTensors(dict[str, Tensor]):
    """Tensors by name, which do not leave the process."""

    def __reduce__(self) -> Any:
        raise EngineError(
            f"rollout.weight_transport = 'direct' works within one process, and the weights are to leave process "
            f"{os.getpid()}; set it to 'auto'"
        )


class DirectReceiver:
    """Yields the trainer's tensors."""

    def receive(self, shipment: Shipment) -> Iterator[tuple[str, Tensor]]:
        """As in ``WeightReceiver``."""
        self._layout = shipment.layout
        yield from shipment.payload.items()

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        return digest_of(self._layout)


def digest_of(layout: Layout) -> str:
    """A digest of names, types and shapes."""
    return xxhash.xxh3_128_hexdigest(repr(layout).encode())
