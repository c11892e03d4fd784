"""Standard output, a terminal or a pipe: which characters may reach it, and what happens if its reader goes away."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..verifiers.errors import InfrastructureError


def printable(text: str) -> str:
    """``text`` with every character that a terminal could take for a command escaped; line ends and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


class _ReaderGone(Exception):
    """Nobody reads standard output any more. No ``OSError``, because click would take it for one of its own."""


class _Output(io.FileIO):
    """The file descriptor of standard output; a write that fails ends the command."""

    def write(self, data: Any, /) -> int:
        """Write ``data``; afterwards, what is left in buffers is thrown away if this failed."""
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise _ReaderGone from None
            raise InfrastructureError(
                f"cannot write standard output: {error.strerror}; send it somewhere else, or free the disk"
            ) from None


@contextmanager
def standard_output() -> Iterator[None]:
    """Write to standard output within this, and flush it at the end.

    If the reader goes away (``| head``), the process ends in silence, as other commands do.

    Raises:
        InfrastructureError: standard output is closed, or cannot be written, for example because the disk is full.
    """
    before = sys.stdout
    if before is None:
        raise InfrastructureError("standard output is closed; send it to a file or to /dev/null")
    if before is not sys.__stdout__ or not isinstance(before, io.TextIOWrapper):  # somebody captures it
        yield
        return
    before.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(before.fileno(), "w", closefd=False)),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.line_buffering or before.write_through,
    )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except _ReaderGone:
        sys.exit(128 + signal.SIGPIPE)
    finally:
        sys.stdout = before
