"""An index of byte sequences that finds the values whose sequence a longer one begins with."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Key(NamedTuple):
    """What is left of a sequence of bytes in an index."""

    digest: bytes
    length: int

    @classmethod
    def of(cls, data: bytes) -> "Key":
        """The key of ``data``."""
        return cls(digest_of(data), len(data))


class Prefixes(Generic[T]):
    """Values by a sequence of bytes, found again by any longer sequence that begins with it."""

    def __init__(self) -> None:
        self._values: dict[Key, dict[T, None]] = {}
        self._lengths: Counter[int] = Counter()

    def add(self, key: Key, value: T) -> None:
        """Put ``value`` under ``key``."""
        self._values.setdefault(key, {})[value] = None
        self._lengths[key.length] += 1

    def remove(self, key: Key, value: T) -> None:
        """Take ``value``, which is under ``key``, away again."""
        del self._values[key][value]
        if not self._values[key]:
            del self._values[key]
        self._lengths[key.length] -= 1
        if not self._lengths[key.length]:
            del self._lengths[key.length]

    def at(self, key: Key) -> list[T]:
        """The values under exactly ``key``, the oldest first."""
        return list(self._values.get(key, ()))

    def beginning(self, data: bytes) -> Iterator[list[T]]:
        """The values under each prefix of ``data``, the longest prefix first."""
        whole, done, found = hashlib.blake2b(digest_size=16), 0, []
        for length in sorted(length for length in self._lengths if length <= len(data)):
            whole.update(data[done:length])
            done = length
            if values := self._values.get(Key(whole.digest(), length)):
                found.append(list(values))
        return reversed(found)


def digest_of(data: bytes) -> bytes:
    """A digest of 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()
