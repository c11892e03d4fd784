"""The program of a math worker: math-verify in a bounded process. Run by path, so it imports nothing of ours."""

import ctypes
import json
import os
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

MEMORY_BYTES = 512 << 20
"""Address space of the whole process."""
RETIRE_BYTES = 256 << 20
"""A worker that once grew beyond this is replaced after its answer, so that the next check starts small."""
RETIRE_CHECKS = 2000

_PR_SET_PDEATHSIG = 1
_FORBIDDEN = (
    "ctypes.",
    "os.exec",
    "os.fork",
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
        sys.exit(1)


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


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """What math-verify reads in ``text``, as a list, empty where it cannot."""
    import math_verify

    return math_verify.parse(
        f"${text}$",
        [math_verify.LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=0,
    )


def check(gold: str, answer: str) -> dict[str, Any]:
    """``{"equal": bool}``, or ``{"unparseable": "gold" | "answer"}``."""
    import math_verify

    if not (expected := parse(gold)):
        return {"unparseable": "gold"}
    if not (found := parse.__wrapped__(answer)):
        return {"unparseable": "answer"}
    return {"equal": bool(math_verify.verify(expected, found, timeout_seconds=0))}


def answer_line(line: str) -> dict[str, Any]:
    """The answer to one request, under its CPU timer."""
    request = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])  # SIGPROF ends the process, whatever it is doing
    try:
        return check(request["gold"], request["answer"])
    except (MemoryError, RecursionError) as error:
        return {"limit": f"{type(error).__name__} in the checker", "retire": True}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_bytes() -> int:
    """The largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Pass the control check, say so, then answer until the pipe closes."""
    die_with_parent(int(sys.argv[1]))
    bound_process()
    try:
        control = (check(r"\frac{1}{2}", "0.5"), check("x^2-1", "(x-1)(x+2)"))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        say({"failed": f"{type(error).__name__}: {error}"})
        return
    forbid_side_effects()
    say({"ready": True} if control == ({"equal": True}, {"equal": False}) else {"failed": f"control check: {control}"})
    for number, line in enumerate(sys.stdin, start=1):
        answer = answer_line(line)
        if number >= RETIRE_CHECKS or peak_bytes() > RETIRE_BYTES:
            answer["retire"] = True
        say(answer)


def say(answer: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
