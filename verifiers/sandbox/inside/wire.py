"""Frames between the parent, the agent and the processes of a job: a kind, a length, and the bytes."""

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
"""What the reason begins with where the machine, and not the job, is at fault; no text of a job's can stand there."""
HARD = 10
"""How many times its wall-clock limit a job may take where it waits for a CPU most of the time."""
MOST = 1 << 30
"""Bytes of the longest frame that is taken for one."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return HEAD.pack(kind, len(payload)) + payload


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_exactly(fd: int, size: int) -> bytes:
    """The next ``size`` bytes.

    Raises:
        EOFError: there are fewer.
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
    """The next frame's kind and the size of its payload.

    Raises:
        EOFError: there is none.
    """
    kind, size = HEAD.unpack(read_exactly(fd, HEAD.size))
    if size > MOST:
        raise EOFError(f"no frame: {size} bytes")
    return kind, size


def read_frame(fd: int) -> tuple[bytes, bytes]:
    """The next frame's kind and payload.

    Raises:
        EOFError: there is none.
    """
    kind, size = read_head(fd)
    return kind, read_exactly(fd, size)


def pack(header: dict[str, Any], blobs: Iterable[bytes] = ()) -> bytes:
    """A JSON object and byte strings in one payload."""
    kept = list(blobs)
    head = json.dumps({**header, "sizes": [len(blob) for blob in kept]}).encode()
    return b"".join([len(head).to_bytes(4, "big"), head, *kept])


def unpack(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """What ``pack`` packed."""
    at = 4 + int.from_bytes(payload[:4], "big")
    header: dict[str, Any] = json.loads(payload[4:at])
    blobs = []
    for size in header.pop("sizes"):
        blobs.append(payload[at : at + size])
        at += size
    return header, blobs
