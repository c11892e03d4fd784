"""A standard stream with a limit, so that an environment that floods its log fills no disk and hides no other log."""

import io
import time
from typing import TextIO

MOST = 1 << 20
"""Most characters in ``WINDOW`` seconds."""

WINDOW = 60.0


class LimitedStream(io.TextIOBase):
    """Writes to ``stream``; drops what is above the limit until the window ends, and says so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._left = MOST
        self._end = time.monotonic() + WINDOW

    def write(self, text: str) -> int:
        """Write or drop ``text``; either way return its length."""
        if time.monotonic() > self._end:
            self._left, self._end = MOST, time.monotonic() + WINDOW
        if self._left > 0:
            self._stream.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._stream.write(f"\n... more than {MOST} characters within {WINDOW:g} s: the rest is dropped\n")
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """The stream's file descriptor."""
        return self._stream.fileno()
