"""The user's terminal, or the pipe that stands for it: what may be written to it, and its going away."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..verifiers.errors import InfrastructureError


def printable(text: str) -> str:
    """``text`` with all but line ends and tabs that a terminal could take for a command written as an escape."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


@contextmanager
def standard_output() -> Iterator[None]:
    """A reader that goes away (``| head``) ends the command in silence, as it does others; a full disk is said.

    Raises:
        InfrastructureError: what is written cannot be.
    """
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered still would not go
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        raise InfrastructureError(f"cannot write standard output: {error.strerror}") from None
