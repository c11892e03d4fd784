"""The processes of a math worker: one that the pool knows, and its bounded child that reads mathematics.

The first imports math-verify once and reads no mathematics. It passes each request on to a child that it forked; a
request that ends its child costs a fork, not another start.
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
"""Address space of the child."""
RETIRE_BYTES = 256 << 20
"""A child that once grew beyond this is replaced after its answer, so that the next check starts small."""
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
    """End when ``parent`` ends, even amid a check (Linux; elsewhere the closed pipe and the CPU timer do it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def bound_process() -> None:
    """Limit memory, and refuse files and processes; each as far as this system knows the limit."""
    for name, value in (("RLIMIT_AS", MEMORY_BYTES), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_NPROC", 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):  # macOS lacks some: the CPU timer still holds
            continue


def forbid_side_effects() -> None:
    """Refuse to start programs, open sockets or write files: parsing has no need of it, an injection would."""
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN) or (event == "open" and isinstance(args[2], int) and args[2] & writing):
            raise PermissionError(f"{event} in a math worker")

    sys.addaudithook(hook)


def answer_line(line: bytes) -> dict[str, Any]:
    """The answer to one request, under its CPU timer."""
    request = json.loads(line)
    seconds, start = request.pop("cpu_seconds"), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process, whatever it is doing
    try:
        return check(**request) | {"seconds": time.process_time() - start}
    except (MemoryError, RecursionError) as error:
        return {"limit": f"{type(error).__name__} in the checker", "retire": True}
    except Exception as error:  # noqa: BLE001 - sympy raises anything on odd input; what cannot be compared is not equal
        return {"equal": False, "seconds": time.process_time() - start, "error": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_bytes() -> int:
    """The largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """The child: answer until the pipe closes or it has grown too large."""
    bound_process()
    forbid_side_effects()
    for number, line in enumerate(iter(requests.readline, b""), start=1):
        answer = answer_line(line)
        retire = answer.pop("retire", False) or number >= RETIRE_CHECKS or peak_bytes() > RETIRE_BYTES
        answers.write(json.dumps(answer | {"retire": retire}).encode() + b"\n")
        answers.flush()
        if retire:
            return


class Child:
    """A forked process that answers requests, and the pipes to it."""

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
        """The answer, or the signal of which the child died."""
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
        """Close the pipes, wait for the child, and return its signal, 0 where there was none."""
        self.requests.close()
        self.answers.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) * -1


def ask_twice(child: Child, line: bytes) -> tuple[dict[str, Any], Child]:
    """The answer and the child for the next request: a death that the CPU timer does not explain is tried once more."""
    for _ in range(2):
        answer = child.ask(line)
        if isinstance(answer, dict):
            return answer, child
        child = Child()
        if answer == signal.SIGPROF:
            return {"timeout": True}, child
    return {"limit": f"the checker died of signal {answer}, twice"}, child


def control() -> str:
    """What is wrong with the checker, empty where it judges two known cases as it must."""
    try:
        found = (check(r"\frac{1}{2}", "0.5"), check("x^2-1", "(x-1)(x+2)"))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        return f"{type(error).__name__}: {error}"
    return "" if found == ({"equal": True}, {"equal": False}) else f"control check: {found}"


def main() -> None:
    """Pass the control check, say so, then pass each request to a child until the pipe closes."""
    die_with_parent(int(sys.argv[1]))
    if failed := control():
        say({"failed": failed})
        return
    make_exact()
    if failed := control():
        say({"failed": failed})
        return
    child = Child()
    say({"ready": True})
    for line in sys.stdin.buffer:
        answer, child = ask_twice(child, line)
        if answer.pop("retire", False):
            child.end()
            child = Child()
        say(answer)


def say(answer: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
