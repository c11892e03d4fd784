"""The connection to the parent, and the channel over which the parent and a running job exchange lines."""

import contextlib
import os
import select
import time

from . import wire

PARENT_IN, PARENT_OUT = 0, 1
"""The descriptors of the connection to the parent."""

_CHUNK = 4000
"""Bytes that a writable pipe or socket accepts without blocking."""


def send_to_parent(kind: bytes, payload: bytes = b"") -> None:
    """Send a frame to the parent. Frames from the parent are read meanwhile, so that the two never block each other.

    Raises:
        EOFError: the parent has closed.
    """
    left = memoryview(wire.frame(kind, payload))
    poller = select.poll()
    poller.register(PARENT_IN, select.POLLIN)
    poller.register(PARENT_OUT, select.POLLOUT)
    while left:
        for fd, _ in poller.poll():
            if fd == PARENT_IN:
                wire.read_frame(PARENT_IN)  # lines for a job that has ended
            elif left:
                left = left[os.write(PARENT_OUT, left[:_CHUNK]) :]


class Channel:
    """Carries lines in both directions without blocking on either side.

    Args:
        down: the pipe to the job.
        up: the pipe from the job.
        poller: watches these pipes whenever there is something to carry.
    """

    def __init__(self, down: int, up: int, poller: select.poll) -> None:
        self._down, self._up, self._poller = down, up, poller
        self._pending = bytearray()  # lines that the job has not read yet
        self.closed_at: float | None = None
        os.set_blocking(down, False)
        poller.register(up, select.POLLIN)

    def read_from_parent(self) -> None:
        """Read one frame from the parent."""
        kind, payload = wire.read_frame(PARENT_IN)
        if kind == wire.LINES:
            self._pending += payload
        elif kind == wire.END_OF_LINES:
            self.closed_at = time.monotonic()
        self._poller.register(self._down, select.POLLOUT)

    def handle(self, fd: int, event: int) -> None:
        """Carry what can be carried after ``event`` on ``fd``."""
        if fd == self._down:
            self._send_to_job(event)
        elif fd == PARENT_OUT:
            self._poller.unregister(PARENT_OUT)
            self._poller.register(self._up, select.POLLIN)
        elif select.select([], [PARENT_OUT], [], 0)[1]:
            self._send_lines_to_parent()
        else:  # wait until the parent reads more
            self._poller.unregister(self._up)
            self._poller.register(PARENT_OUT, select.POLLOUT)

    def flush(self) -> None:
        """Send the rest of what the job wrote before it ended."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._up, 1 << 16):
                send_to_parent(wire.LINES, part)

    def _send_to_job(self, event: int) -> None:
        if event & (select.POLLERR | select.POLLHUP):  # the job reads no more
            self._pending.clear()
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._pending:
                del self._pending[: os.write(self._down, self._pending)]
        if not self._pending:
            self._poller.unregister(self._down)
            if self.closed_at is not None:
                os.close(self._down)

    def _send_lines_to_parent(self) -> None:
        try:
            part = os.read(self._up, _CHUNK)
        except BlockingIOError:  # a job that runs as our own user can read it first
            return
        wire.write_all(PARENT_OUT, wire.frame(wire.LINES if part else wire.END_OF_LINES, part))
        if not part:
            self._poller.unregister(self._up)
