"""A model's weights on their way from the trainer to the engines: one flat buffer, a version and a checksum."""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class Entry(NamedTuple):
    """Where one tensor lies in the buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Weights:
    """Every tensor of a model, as bytes.

    Attributes:
        version: counts optimizer steps' publications; never used twice.
        entries: where each tensor lies.
        buffer: uint8, shared without copying by those who receive it.
        checksum: CRC-32 of the buffer; the receiver computes it again.
    """

    version: int
    entries: tuple[Entry, ...]
    buffer: npt.NDArray[np.uint8]
    checksum: int

    @classmethod
    def pack(cls, state: dict[str, torch.Tensor], version: int) -> "Weights":
        """Copy ``state`` into one buffer, in the order of its keys."""
        entries, start = [], 0
        for name, tensor in state.items():
            stop = start + tensor.numel() * tensor.element_size()
            entries.append(Entry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), start, stop))
            start = stop
        buffer = np.empty(start, dtype=np.uint8)
        for entry, tensor in zip(entries, state.values(), strict=True):
            buffer[entry.start : entry.stop] = as_bytes(tensor)
        return cls(version, tuple(entries), buffer, zlib.crc32(buffer.data))

    def unpack(self) -> dict[str, torch.Tensor]:
        """The tensors, as copies on the CPU."""
        return {
            entry.name: torch.from_numpy(self.buffer[entry.start : entry.stop].copy())
            .view(getattr(torch, entry.dtype))
            .reshape(entry.shape)
            for entry in self.entries
        }

    def checksum_of(self, state: dict[str, torch.Tensor]) -> int:
        """The checksum that ``state`` has when laid out as these weights are."""
        checksum = 0
        for entry in self.entries:
            checksum = zlib.crc32(as_bytes(state[entry.name]).data, checksum)
        return checksum


def as_bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """The tensor's bytes, on the CPU, without a copy where it lies there in one piece."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
