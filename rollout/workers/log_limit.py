"""A standard stream that takes only so much: what floods its log harms neither disk nor neighbours."""

import io
import time
from typing import TextIO

MOST = 1 << 20
"""Characters that pass in ``WINDOW`` seconds."""

WINDOW = 60.0


class Bounded(io.TextIOBase):
    """Passes text on to ``stream``, and in each window drops what is too much, with a note of that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._left = MOST
        self._end = time.monotonic() + WINDOW

    def write(self, text: str) -> int:
        """Write, or drop; as many characters count as written either way."""
        if time.monotonic() > self._end:
            self._left, self._end = MOST, time.monotonic() + WINDOW
        if self._left > 0:
            self._stream.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._stream.write(f"\n... more than {MOST} characters within {WINDOW:g} s: the rest is dropped\n")
        return len(text)

    def flush(self) -> None:
        """Flush what was passed on."""
        self._stream.flush()

    def fileno(self) -> int:
        """The stream's own descriptor."""
        return self._stream.fileno()
