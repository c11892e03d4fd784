"""One flat buffer of bytes for all tensors of a model: where each lies, and how bytes become a tensor again."""

import math

import torch
from torch import Tensor

from .layout import Layout, TensorSpec


def places(layout: Layout, align: int = 1) -> dict[str, slice]:
    """Where each tensor lies in the buffer, in bytes; each begins and ends at a multiple of ``align``."""
    found, start = {}, 0
    for spec in layout:
        end = start + -(-size_of(spec) // align) * align
        found[spec.name] = slice(start, end)
        start = end
    return found


def length_of(places: dict[str, slice]) -> int:
    """Bytes of the buffer in which these places are."""
    return max((place.stop for place in places.values()), default=0)


def size_of(spec: TensorSpec) -> int:
    """Bytes of one tensor."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return math.prod(spec.shape) * dtype.itemsize


def as_bytes(tensor: Tensor) -> Tensor:
    """The tensor's bytes, uint8 in one row, on its device; copied only if it is not contiguous."""
    return tensor.detach().contiguous().view(-1).view(torch.uint8)


def as_tensor(row: Tensor, spec: TensorSpec) -> Tensor:
    """The tensor whose bytes, uint8, ``row`` begins with; it shares their memory."""
    return row[: size_of(spec)].view(getattr(torch, spec.dtype)).reshape(spec.shape)
