"""The process of a job's program: how it is confined, and how it runs the program."""

import atexit
import os
import resource
import sys
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from . import kernel
from .root import BOX

NAME = "main.py"
CHANNEL_IN, CHANNEL_OUT = 3, 4
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": BOX, "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
_OPEN_FILES = 256
_LINUX = tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdigit())
_OWN_PROCESSES = 8
"""How many of our processes count for the user of the job, if the job has no separate user."""
_SPARE_ADDRESSES = 256 << 20
"""Bytes of address space that an interpreter uses before the program starts."""
_STACK = 8 << 20
"""Bytes of the main thread's stack, the default of Linux: if it is larger, deep recursion runs out of memory first."""
_CALL = 512
"""Bytes of memory that each level of recursion may take: with more levels, recursion would run out of memory."""
_TRACEBACK = 1000
"""How many of the last calls a traceback shows, as in the interpreter's own."""


class Confinement(NamedTuple):
    """How a process is confined.

    Attributes:
        uid: the user that it becomes, None if it cannot change its user.
        filter: the BPF program that allows system calls; empty to allow all.
        address_space: whether the memory limit is on address space, because there is no cgroup.
        capabilities: whether it has capabilities that a change of the user does not drop.
    """

    uid: int | None
    filter: bytes
    address_space: bool
    capabilities: bool


class Program(NamedTuple):
    """A program that is ready to run in this confined process."""

    source: str

    def run(self) -> None:
        """Run it as ``__main__``, as the interpreter runs a script, and end this process."""
        main = ModuleType("__main__")
        vars(main)["__loader__"] = _Source(self.source)
        sys.modules["__main__"] = main
        try:
            code: CodeType = compile(self.source, NAME, "exec", dont_inherit=True)
            _execute(code, main.__dict__)
            _end(0)
        except SystemExit as error:
            _end(_exit_code(error))
        except BaseException as error:  # noqa: BLE001 - as the interpreter does
            _report(error)
            _end(1)


class _Source:
    """The loader from which tracebacks and ``inspect`` get the program's source, which is not in a file."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, _name: str) -> str:
        return self._text


def _execute(code: CodeType, namespace: dict[str, Any]) -> None:
    namespace["__file__"] = NAME
    exec(code, namespace)


def _report(error: BaseException) -> None:
    """Print the traceback without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
        trace = trace.tb_next
    error.__traceback__ = trace
    if sys.excepthook is sys.__excepthook__:
        import traceback  # here, because few programs need it, and it would slow every fork down

        traceback.print_exception(type(error), error, trace, limit=-_TRACEBACK)
    else:
        sys.excepthook(type(error), error, trace)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return int(error.code) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _end(code: int) -> None:
    """End as the interpreter does, but without destroying its objects, which would copy every page."""
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # waits for the program's threads
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if not getattr(stream, "closed", True):
                stream.flush()
    except BaseException as error:  # noqa: BLE001 - as for the program itself
        _report(error)
        code = code or 1
    os._exit(code)


def confine(limits: dict[str, Any], confinement: Confinement) -> None:
    """Take all rights from this process that a job must not have. Raises ``OSError`` if that fails."""
    os.setsid()
    os.umask(0o022)
    _limit(limits, confinement)
    kernel.forbid_new_privileges()
    if confinement.uid is not None:
        os.setgroups([])
        os.setresgid(confinement.uid, confinement.uid, confinement.uid)
        os.setresuid(confinement.uid, confinement.uid, confinement.uid)
    kernel.show_in_proc(own_user=True)
    if confinement.capabilities:
        kernel.drop_capabilities()
    if confinement.filter:
        kernel.filter_system_calls(confinement.filter)


def _limit(limits: dict[str, Any], confinement: Confinement) -> None:
    cpu = int(limits["cpu"]) + 2  # in case the supervisor, which counts more exactly, cannot end the job
    wanted = {
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    if hasattr(resource, "RLIMIT_MEMLOCK"):
        wanted[resource.RLIMIT_MEMLOCK] = 0
    if confinement.uid is not None:
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    elif confinement.capabilities and _LINUX >= (5, 14):  # since then, each user namespace has its own count
        wanted[resource.RLIMIT_NPROC] = limits["processes"] + _OWN_PROCESSES
    if confinement.address_space:
        wanted[resource.RLIMIT_AS] = limits["memory"] + _SPARE_ADDRESSES
    for name, value in wanted.items():
        value = _possible(name, value)
        resource.setrlimit(name, (value, value))
    resource.setrlimit(
        resource.RLIMIT_STACK, (_possible(resource.RLIMIT_STACK, _STACK), resource.getrlimit(resource.RLIMIT_STACK)[1])
    )


def _possible(name: int, value: int) -> int:
    """The value of the resource limit ``name`` that is nearest to ``value``."""
    hard = resource.getrlimit(name)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _bound_recursion(memory: int) -> None:
    """Let endless recursion end with a RecursionError, also if the program allows more levels than fit in memory."""
    set_limit = sys.setrecursionlimit

    def setrecursionlimit(limit: int, /) -> None:
        set_limit(min(limit, memory // _CALL) if isinstance(limit, int) else limit)

    sys.setrecursionlimit = setrecursionlimit


def settle(job: dict[str, Any], path: tuple[str, ...]) -> None:
    """Prepare the interpreter as for a script: arguments, path and environment, and without modules of the agent.

    Unlike a plain interpreter, it prints and reads integers of any length, and bounds the depth of recursion by memory.
    """
    sys.set_int_max_str_digits(0)  # the limit guards servers; a job has limits of its own
    _bound_recursion(job["limits"]["memory"])
    os.environ.clear()
    os.environ.update({**_ENVIRONMENT, **job["env"]})
    sys.argv[:] = [NAME]
    sys.path[:] = [os.getcwd(), *path]
    for name in [name for name in sys.modules if name.partition(".")[0] == "inside"]:
        del sys.modules[name]
