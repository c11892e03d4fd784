"""Standard output, a terminal or a pipe: which characters may reach it, and what happens if its reader goes away."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..verifiers.errors import InfrastructureError


def printable(text: str) -> str:
    """``text`` with every character that a terminal could take for a command escaped; line ends and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


@contextmanager
def standard_output() -> Iterator[None]:
    """Write to standard output within this, and flush it at the end.

    If the reader goes away (``| head``), the process ends in silence, as other commands do.

    Raises:
        InfrastructureError: standard output cannot be written, for example because the disk is full.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes its buffer once more
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        raise InfrastructureError(f"cannot write standard output: {error.strerror}") from None
