"""The way to the parent, and the lines that go over it between the parent and a running job."""

import contextlib
import os
import select
import time

from . import wire

PARENT_IN, PARENT_OUT = 0, 1
"""The descriptors of the connection to the parent."""

_AT_ONCE = 4000
"""Bytes that a pipe or a socket which takes any takes without waiting."""


def tell(kind: bytes, payload: bytes = b"") -> None:
    """Send a frame to the parent. What it sends meanwhile is read, so that the two never wait for each other.

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
                left = left[os.write(PARENT_OUT, left[:_AT_ONCE]) :]


class Channel:
    """Carries lines both ways and waits for neither side.

    Args:
        down: the pipe to the job.
        up: the pipe from it.
        poller: watches both, as far as there is something to carry.
    """

    def __init__(self, down: int, up: int, poller: select.poll) -> None:
        self._down, self._up, self._poller = down, up, poller
        self._pending = bytearray()  # lines that the job has not taken yet
        self.closed_at: float | None = None
        os.set_blocking(down, False)
        poller.register(up, select.POLLIN)

    def take(self) -> None:
        """Read one frame from the parent."""
        kind, payload = wire.read_frame(PARENT_IN)
        if kind == wire.LINES:
            self._pending += payload
        elif kind == wire.END_OF_LINES:
            self.closed_at = time.monotonic()
        self._poller.register(self._down, select.POLLOUT)

    def act(self, fd: int, event: int) -> None:
        """Carry what can be carried now that ``event`` came from ``fd``."""
        if fd == self._down:
            self._give(event)
        elif fd == PARENT_OUT:
            self._poller.unregister(PARENT_OUT)
            self._poller.register(self._up, select.POLLIN)
        elif select.select([], [PARENT_OUT], [], 0)[1]:
            self._carry()
        else:  # until the parent takes more
            self._poller.unregister(self._up)
            self._poller.register(PARENT_OUT, select.POLLOUT)

    def finish(self) -> None:
        """Pass on what the job wrote before it ended."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._up, 1 << 16):
                tell(wire.LINES, part)

    def _give(self, event: int) -> None:
        if event & (select.POLLERR | select.POLLHUP):  # the job reads no more
            self._pending.clear()
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._pending:
                del self._pending[: os.write(self._down, self._pending)]
        if not self._pending:
            self._poller.unregister(self._down)
            if self.closed_at is not None:
                os.close(self._down)

    def _carry(self) -> None:
        try:
            part = os.read(self._up, _AT_ONCE)
        except BlockingIOError:  # a job of our own user can read it before us
            return
        wire.write_all(PARENT_OUT, wire.frame(wire.LINES if part else wire.END_OF_LINES, part))
        if not part:
            self._poller.unregister(self._up)
