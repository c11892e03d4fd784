"""The preallocated key-value cache of a fixed number of slots, each of which is written at its own position."""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import Cache

BLOCK = 16
"""Attended lengths are multiples of this many tokens."""


def blocks(length: int, block: int = BLOCK) -> int:
    """``length`` rounded up to whole blocks."""
    return -(-length // block) * block


class SlotCache(Cache):
    """A static cache ``[slots, heads, context, head_dim]`` for each layer, allocated when the layer first runs.

    Call ``prefill`` or ``decode`` before each forward pass, to say which of both it is.

    Args:
        slots: number of rows.
        context: tokens that a slot can hold; ``capacity`` is this number rounded up to whole blocks.
        device: of the tensors.
    """

    def __init__(self, slots: int, context: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.capacity = blocks(context)
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._every = torch.arange(slots, device=device)
        self._write: tuple[torch.Tensor, torch.Tensor] | None = None
        self._positions = torch.zeros_like(self._every)
        self._length = 0

    def prefill(self, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Next, row ``rows[i]`` of the batch is written from position 0 into slot ``slots[i]``."""
        self._write = slots, rows

    def decode(self, positions: torch.Tensor, length: int) -> None:
        """Next, one token a slot is written at ``positions`` ``[slots]`` and attends to the first ``length``."""
        self._write, self._positions, self._length = None, positions, length

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's keys and values ``[batch, heads, tokens, head_dim]``; return those that it attends to."""
        if layer_idx == len(self.keys):
            self._allocate(key_states, value_states)
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        if self._write is None:
            keys[self._every, :, self._positions] = key_states[:, :, 0]
            values[self._every, :, self._positions] = value_states[:, :, 0]
            return keys[:, :, : self._length], values[:, :, : self._length]
        (slots, rows), length = self._write, key_states.shape[2]
        keys[slots, :, :length] = key_states[rows]
        values[slots, :, :length] = value_states[rows]
        return key_states, value_states

    def copy(self, sources: list[int], targets: list[int], length: int) -> None:
        """Copy the first ``length`` tokens of slots to other slots."""
        for tensor in (*self.keys, *self.values):
            tensor[targets, :, :length] = tensor[sources, :, :length]

    def clear(self) -> None:
        """Set everything to 0; values that are not numbers would get through a mask."""
        for tensor in (*self.keys, *self.values):
            tensor.zero_()

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Zero: positions are always given explicitly."""
        return 0

    def _allocate(self, key: torch.Tensor, value: torch.Tensor) -> None:
        for tensors, state in ((self.keys, key), (self.values, value)):
            shape = len(self._every), state.shape[1], self.capacity, state.shape[3]
            tensors.append(torch.zeros(shape, dtype=state.dtype, device=state.device))

    def exact_block(self, query_heads: int) -> int:
        """The smallest step of attended lengths at which masked tokens never change a bit of the attention's output.

        That is ``BLOCK`` if the matrix library allows it, else the whole capacity. This is tried out, because it is not
        documented: on CPUs the product of probabilities and values is summed in pieces that depend on the length if
        four or more query heads share a key head and there are more than 256 tokens (found with MKL).
        """
        heads, size = self.keys[0].shape[1], self.keys[0].shape[3]
        if self.keys[0].device.type != "cpu":
            return BLOCK
        span = min(self.capacity, 1536)  # the kernel works in pieces of 512 tokens, so that longer ones add nothing
        generator = torch.Generator().manual_seed(0)
        key, value = torch.randn(2, 1, heads, span, size, generator=generator).to(self.keys[0].dtype)
        query = torch.randn(1, heads, query_heads // heads, size, generator=generator).to(key.dtype)

        def attend(seen: int, length: int) -> torch.Tensor:
            mask = torch.arange(length)[None, None, None] < seen
            return F.scaled_dot_product_attention(query, key[:, :, :length], value[:, :, :length], attn_mask=mask)

        for seen in (1, 100, 255, 300, 600):
            shortest = blocks(seen)
            for length in range(shortest + BLOCK, span + 1, BLOCK):
                if not torch.equal(attend(seen, shortest), attend(seen, length)):
                    return self.capacity
        return BLOCK
