"""Standard output, a terminal or a pipe: what may reach it, a line of status, and what happens if its reader leaves."""

import asyncio
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
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


async def show_status(
    status: Callable[[], str], stop: asyncio.Event, *, redraw: float = 1.0, line: float = 10.0
) -> None:
    """Show one line of status until ``stop``.

    Args:
        status: the line now.
        stop: ends it.
        redraw: seconds between two drawings of the line, if standard output is a terminal.
        line: seconds between two lines, if it is none; a line that has not changed is not repeated.
    """
    terminal, last = sys.stdout.isatty(), ""
    while not stop.is_set():
        text = one_line(status())
        if terminal:
            sys.stdout.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
        elif text != last:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        last = text
        try:
            await asyncio.wait_for(stop.wait(), redraw if terminal else line)
        except TimeoutError:
            continue
    if terminal:
        sys.stdout.write("\r\x1b[K")


def one_line(text: str) -> str:
    """``text`` as one printable line."""
    return printable(" ".join(text.split()))
