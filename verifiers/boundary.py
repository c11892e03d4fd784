"""The boundary around user code: its exceptions become records, while cancellation and Ctrl-C pass through."""

import asyncio
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .errors import InfrastructureError

Passing = tuple[type[BaseException], ...]

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

LONGEST_MESSAGE, LONGEST_TRACEBACK = 4_000, 20_000
"""Characters of an exception that a record keeps: every attempt of a group may raise the same one."""


@dataclass(frozen=True)
class Fault:
    """An exception that user code raised, as text that can be written as UTF-8.

    Attributes:
        message: the type and text of the exception; the middle of a long text is left out, here and in ``traceback``.
        file: the file that raised it; empty if unknown.
        line: the line in that file, from 1.
        traceback: the whole traceback, as Python prints it.
    """

    message: str
    file: str = ""
    line: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.file}, line {self.line})" if self.file else self.message


class Boundary:
    """Runs user code, sync or async, in the body of a ``with`` statement, and keeps the exception that it raises.

    Args:
        home: the user's file; the location in it is reported, see ``fault_of``.
        passing: exception types that are not caught; cancellation and Ctrl-C are never caught.

    Attributes:
        error: the exception that the code raised; None if it raised none.
        fault: the same exception as a record.
    """

    def __init__(self, home: str | None = None, passing: type[BaseException] | Passing = InfrastructureError) -> None:
        self._home, self._passing = home, passing
        self.error: BaseException | None = None
        self.fault: Fault | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        self._cancelling = _cancelling()  # a TaskGroup of the user's may have left a request behind
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, self._passing) or interrupts(error, trace, self._cancelling):
            return False
        self.error, self.fault = error, fault_of(error, self._home)
        if (found := _collected.get()) is not None:
            found.setdefault((self.fault.file, self.fault.line), self.fault)
        return True


_collected: ContextVar[dict[tuple[str, int], Fault] | None] = ContextVar("collected", default=None)


@contextmanager
def collect_faults() -> Iterator[dict[tuple[str, int], Fault]]:
    """Collect the first fault of each place, by file and line, that a boundary catches while the body runs.

    Tasks that the body starts count, because they inherit its context.
    """
    found: dict[tuple[str, int], Fault] = {}
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def interrupts(error: BaseException, trace: TracebackType | None, before: int) -> bool:
    """Whether ``error`` comes from outside the code: its task is cancelled, it is closed, or somebody pressed Ctrl-C.

    Args:
        error: what was raised.
        trace: its traceback, from the frame of the ``with`` statement on.
        before: requests to cancel the task that were pending before the code ran.
    """
    if isinstance(error, asyncio.CancelledError):
        return _cancelling() > before
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    # Python closes the innermost coroutine first, so a real GeneratorExit begins in the waiting frame itself
    return isinstance(error, GeneratorExit) and (trace is None or trace.tb_next is None)


def _cancelling() -> int:
    """Pending requests to cancel the current task; 0 where no task runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return 0
    return task.cancelling() if task else 0


def fault_of(error: BaseException, home: str | None = None) -> Fault:
    """Return ``error`` as a record, located where the author of the code would look for it.

    That is the innermost frame in the file ``home``; without one, the innermost frame outside installed packages;
    without that, the innermost frame of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == home]
    foreign = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)]
    message, printed = _message(error), _printed(error)
    if not (where := own or foreign or frames):
        return Fault(message, traceback=printed)
    return Fault(message, _kept(where[-1].filename, LONGEST_MESSAGE), where[-1].lineno or 0, printed)


def _message(error: BaseException) -> str:
    """Type and text of an error, even if its ``__str__`` raises, be it a ``KeyboardInterrupt``."""
    try:
        return _kept(f"{type(error).__name__}: {error}", LONGEST_MESSAGE)
    except BaseException as worse:  # noqa: BLE001 - a Ctrl-C in this moment cannot be told from what __str__ raises
        return f"{type(error).__name__}, whose message cannot be had ({type(worse).__name__})"


def _printed(error: BaseException) -> str:
    try:
        return _kept("".join(traceback.format_exception(error)), LONGEST_TRACEBACK)
    except BaseException:  # noqa: BLE001 - as above
        return ""


def _kept(text: str, most: int) -> str:
    """The beginning and the end of ``text``, with lone surrogates as escapes."""
    if len(text) > most:
        text = f"{text[: most // 2]} … ({len(text) - most} characters left out) … {text[-(most // 2) :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
