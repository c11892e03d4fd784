"""Math worker with two processes: a parent that the pool talks to, and a resource-limited child that parses answers.

The parent imports math-verify once and parses nothing. It passes each request to a forked child, so a request that
kills the child costs a fork instead of a new start.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any, BinaryIO

from .equality import check, make_exact

MEMORY_BYTES = 512 << 20
"""Limit on the child's address space."""
RETIRE_BYTES = 256 << 20
"""Peak memory above which a child is replaced after its answer, so that the next check starts small."""
RETIRE_CHECKS = 2000

_PR_SET_PDEATHSIG = 1
_FORBIDDEN = (
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.",
    "socket.",
    "subprocess.",
)


def die_with_parent(parent: int) -> None:
    """Exit when ``parent`` does, even during a check (Linux; elsewhere the closed pipe and the CPU timer do that)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def limit_resources() -> None:
    """Limit memory, and forbid writing files and starting processes, as far as the system supports it."""
    for name, value in (("RLIMIT_AS", MEMORY_BYTES), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_NPROC", 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):  # macOS lacks some limits; the CPU timer still works
            continue


def forbid_side_effects() -> None:
    """Refuse to start programs, open sockets or write files: only injected code would need to."""
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN) or (event == "open" and isinstance(args[2], int) and args[2] & writing):
            raise PermissionError(f"{event} in a math worker")

    sys.addaudithook(hook)


def handle_request(line: bytes) -> dict[str, Any]:
    """Handle one request under its CPU timer, and return the answer."""
    request = json.loads(line)
    seconds, start = request.pop("cpu_seconds"), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF kills the process, whatever it is doing
    try:
        return check(**request) | {"seconds": time.process_time() - start}
    except (MemoryError, RecursionError) as error:
        return {"limit": f"{type(error).__name__} in the checker", "retire": True}
    except Exception as error:  # noqa: BLE001 - sympy can raise anything on odd input; incomparable means not equal
        return {"equal": False, "seconds": time.process_time() - start, "error": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_bytes() -> int:
    """Return the peak resident size of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Run the child: answer requests until the pipe closes or the process has grown too large."""
    limit_resources()
    forbid_side_effects()
    for number, line in enumerate(iter(requests.readline, b""), start=1):
        answer = handle_request(line)
        retire = answer.pop("retire", False) or number >= RETIRE_CHECKS or peak_bytes() > RETIRE_BYTES
        answers.write(json.dumps(answer | {"retire": retire}).encode() + b"\n")
        answers.flush()
        if retire:
            return


class Child:
    """A forked process that answers requests over pipes."""

    def __init__(self) -> None:
        to_child, from_child = os.pipe(), os.pipe()
        me = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            os.close(to_child[1])
            os.close(from_child[0])
            os.close(0)
            os.close(1)
            die_with_parent(me)
            serve(os.fdopen(to_child[0], "rb"), os.fdopen(from_child[1], "wb"))
            os._exit(0)
        os.close(to_child[0])
        os.close(from_child[1])
        self.requests, self.answers = os.fdopen(to_child[1], "wb", 0), os.fdopen(from_child[0], "rb")

    def ask(self, line: bytes) -> dict[str, Any] | int:
        """Return the answer, or the signal that killed the child."""
        try:
            self.requests.write(line)
            reply = self.answers.readline()
        except BrokenPipeError:
            reply = b""
        if reply.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(reply)
            return answer
        return self.end()

    def end(self) -> int:
        """Close the pipes, wait for the child, and return the signal that killed it, or 0."""
        self.requests.close()
        self.answers.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) * -1


def ask_with_retry(child: Child, line: bytes) -> tuple[dict[str, Any], Child]:
    """Return the answer and the child for the next request; retry once if the child died, unless by its CPU timer."""
    for _ in range(2):
        answer = child.ask(line)
        if isinstance(answer, dict):
            return answer, child
        child = Child()
        if answer == signal.SIGPROF:
            return {"timeout": True}, child
    return {"limit": f"signal {answer} killed the checker twice"}, child


def run_control_check() -> str:
    """Check two known cases; return what is wrong with the checker, or an empty string."""
    try:
        found = (check(r"\frac{1}{2}", "0.5"), check("x^2-1", "(x-1)(x+2)"))
    except Exception as error:  # noqa: BLE001 - any error must be reported to the parent
        return f"{type(error).__name__}: {error}"
    return "" if found == ({"equal": True}, {"equal": False}) else f"control check: {found}"


def main() -> None:
    """Run the control check, report it, then pass each request to a child until the pipe closes."""
    die_with_parent(int(sys.argv[1]))
    if failed := run_control_check():
        write_answer({"failed": failed})
        return
    make_exact()
    if failed := run_control_check():
        write_answer({"failed": failed})
        return
    child = Child()
    write_answer({"ready": True})
    for line in sys.stdin.buffer:
        answer, child = ask_with_retry(child, line)
        if answer.pop("retire", False):
            child.end()
            child = Child()
        write_answer(answer)


def write_answer(answer: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
