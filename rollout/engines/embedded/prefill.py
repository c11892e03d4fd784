"""The batches in which prompts are computed: each of one padded length."""

from collections.abc import Iterable

from .cache import blocks

PREFILL_TOKENS = 512
"""Most tokens of one prefill batch; a longer prompt is a batch of its own."""


def batches(prefixes: Iterable[bytes]) -> list[list[bytes]]:
    """Prefixes in batches of one padded length and at most ``PREFILL_TOKENS``."""
    by_length: dict[int, list[bytes]] = {}
    for prefix in prefixes:
        by_length.setdefault(padded(prefix), []).append(prefix)
    found = []
    for length, members in by_length.items():
        size = max(1, PREFILL_TOKENS // length)
        found += [members[start : start + size] for start in range(0, len(members), size)]
    return found


def padded(prefix: bytes) -> int:
    """Tokens of a prefix (four bytes each), rounded up to whole blocks."""
    return blocks(len(prefix) // 4)
