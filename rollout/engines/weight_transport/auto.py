"""The transport that is chosen by where the trainer's tensors and the engines are."""

import os
from dataclasses import dataclass

from torch import Tensor

from .direct import DirectSender
from .gpu import GpuSender
from .layout import Layout
from .object_store import ObjectStoreSender
from .transport import Shipment, WeightSender


@dataclass(frozen=True)
class EnginePlace:
    """Where the engines of a run are.

    Attributes:
        process: the id of the process that holds the one engine; None if engines have processes of their own.
        on_gpu: whether they are engines of Lachesis on GPUs.
    """

    process: int | None = None
    on_gpu: bool = False


class AutoSender:
    """``direct`` within one process, CUDA IPC or NCCL from GPU to GPU, and ``object_store`` in all other cases.

    Args:
        engines: where they are. The trainer's place is that of the first tensor.
    """

    def __init__(self, engines: EnginePlace) -> None:
        self._engines = engines

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        self._version, self._layout = version, layout
        self._sender: WeightSender | None = None

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        if self._sender is None:
            self._sender = chosen(self._engines, tensor.is_cuda)
            self._sender.begin(self._version, self._layout)
        self._sender.send(name, tensor)

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        if self._sender is None:  # no tensors
            self._sender = ObjectStoreSender()
            self._sender.begin(self._version, self._layout)
        return self._sender.finish()


def chosen(engines: EnginePlace, from_gpu: bool) -> WeightSender:
    """The sender for engines at that place, from a trainer in this process, whose tensors may be on a GPU."""
    if engines.process == os.getpid():
        return DirectSender()
    return GpuSender() if from_gpu and engines.on_gpu else ObjectStoreSender()
