"""A digest of bytes that is computed on the device where they lie, and has the same value on each kind of device."""

import torch
from torch import Tensor

WORD = 8
"""Bytes of the words that are hashed; what is hashed is a whole number of them."""

CHUNK = 1 << 22
"""Words that are hashed at a time, which bounds the memory for intermediate values to about 100 MB."""

FACTORS = (-7046029254386353131, -4417276706812531889, -7723592293110705685)  # odd; of splitmix64 and xxHash


class DeviceDigest:
    """Sums a mixed value of each word and its place, modulo 2^64.

    Sums of integers do not depend on their order, so neither the device nor the division into parts changes the value.
    It finds damage; it is no protection against an attacker.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    def update(self, row: Tensor, start: int) -> None:
        """Add bytes, uint8 in one row, that begin at byte ``start`` of the whole; both are multiples of 8 bytes."""
        words = row.view(torch.int64)
        for first in range(0, words.numel(), CHUNK):
            part = words[first : first + CHUNK]
            place = start // WORD + first
            mixed = torch.arange(place, place + part.numel(), device=row.device).mul_(FACTORS[0])
            mixed.bitwise_xor_(part).mul_(FACTORS[1])
            mixed.bitwise_xor_(mixed >> 31).mul_(FACTORS[2])
            mixed.bitwise_xor_(mixed >> 29)
            total = mixed.sum()
            self._sum = total if self._sum is None else self._sum + total

    def hexdigest(self) -> str:
        """The digest of what was added so far, 16 digits."""
        return f"{0 if self._sum is None else int(self._sum) % 2**64:016x}"
