"""The frames that the parent, the agent and the processes of a job exchange: a kind, a length, and bytes."""

import json
import os
import struct
from collections.abc import Iterable
from typing import Any

SETUP, READY, FAILED = b"S", b"R", b"F"
JOB, EXECUTION = b"J", b"E"
LINES, END_OF_LINES = b"L", b"C"
EXIT = b"X"

HEAD = struct.Struct("!cI")
OVERLOADED = "overloaded"
"""The beginning of the reason if the machine is at fault and not the job; a job cannot write this text itself."""
HARD = 10
"""How many times its wall-clock limit a job may take at most, while it waits for a CPU."""
MOST = 1 << 30
"""The longest valid frame, in bytes."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return HEAD.pack(kind, len(payload)) + payload


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_exactly(fd: int, size: int) -> bytes:
    """Read the next ``size`` bytes.

    Raises:
        EOFError: the stream ended before.
    """
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError("the other side has closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_head(fd: int) -> tuple[bytes, int]:
    """Read the kind of the next frame and the size of its payload.

    Raises:
        EOFError: there is no valid frame.
    """
    kind, size = HEAD.unpack(read_exactly(fd, HEAD.size))
    if size > MOST:
        raise EOFError(f"no frame: {size} bytes")
    return kind, size


def read_frame(fd: int) -> tuple[bytes, bytes]:
    """Read the kind and the payload of the next frame.

    Raises:
        EOFError: there is no valid frame.
    """
    kind, size = read_head(fd)
    return kind, read_exactly(fd, size)


def pack(header: dict[str, Any], blobs: Iterable[bytes] = ()) -> bytes:
    """Pack a JSON object and byte strings into one payload."""
    kept = list(blobs)
    head = json.dumps({**header, "sizes": [len(blob) for blob in kept]}).encode()
    return b"".join([len(head).to_bytes(4, "big"), head, *kept])


def unpack(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Unpack a payload of ``pack``."""
    at = 4 + int.from_bytes(payload[:4], "big")
    header: dict[str, Any] = json.loads(payload[4:at])
    blobs = []
    for size in header.pop("sizes"):
        blobs.append(payload[at : at + size])
        at += size
    return header, blobs
