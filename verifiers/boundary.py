"""What foreign code raised: told from an interruption of ours, and its place."""

import asyncio
import sysconfig
import threading
import traceback

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def interrupts(error: BaseException) -> bool:
    """Whether the code that raised it is not to blame: its task is being cancelled, or somebody pressed Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    return isinstance(error, GeneratorExit)


def described(error: BaseException, home: str | None = None) -> str:
    """One line with the type, the message, and the innermost frame that an author looks for.

    That is one in the file ``home``; else one in no installed package; else the innermost of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == home]
    foreign = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)]
    where = own or foreign or frames
    place = f" ({where[-1].filename}, line {where[-1].lineno})" if where else ""
    return f"{said(error)}{place}"


def said(error: BaseException) -> str:
    """Type and message of an error, whatever its own code does."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException as worse:
        if interrupts(worse):
            raise
        return f"{type(error).__name__}, whose message cannot be had ({type(worse).__name__})"
