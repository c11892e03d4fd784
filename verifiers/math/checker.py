"""The program of a math worker: math-verify in a bounded child process. Run by path, so it imports nothing of ours.

The process that the pool knows imports math-verify once and reads no mathematics. It passes each request on to a child
that it forked; a request that ends its child costs a fork, not another start.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, BinaryIO

MEMORY_BYTES = 512 << 20
"""Address space of the child."""
RETIRE_BYTES = 256 << 20
"""A child that once grew beyond this is replaced after its answer, so that the next check starts small."""
RETIRE_CHECKS = 2000
DIGITS = 100
"""Digits in which two irrational numbers must agree."""

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


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """What math-verify reads in ``text``, as a list, empty where it cannot."""
    import math_verify

    config = math_verify.LatexExtractionConfig()
    config = replace(config, normalization_config=replace(config.normalization_config, units=False))
    return math_verify.parse(  # units are our own matter: math-verify would drop the c of "ab c" as one
        f"${text}$",
        [config],
        fallback_mode="no_fallback",
        parsing_timeout=0,
    )


def check(
    gold: str, answer: str, places: int | None = None, strict: bool = True, set_relations: bool = False
) -> dict[str, Any]:
    """``{"equal": bool}``, or ``{"unparseable": "gold" | "answer"}``."""
    import math_verify

    if not (expected := parse(gold)):
        return {"unparseable": "gold"}
    if not (found := parse.__wrapped__(answer)):
        return {"unparseable": "answer"}
    if strict and not same_kind(expected[0], found[0]):
        return {"equal": False}
    rounding = -1 if places is None else places
    equal = math_verify.verify(
        expected,
        found,
        float_rounding=rounding,
        strict=strict,
        allow_set_relation_comp=set_relations,
        timeout_seconds=0,
    )
    return {"equal": bool(equal)}


def same_kind(expected: Any, found: Any) -> bool:
    """False for a set against a tuple, and for an equation as the answer where a value is expected."""
    import sympy

    ordered, unordered = (sympy.Tuple, sympy.Interval), sympy.FiniteSet
    if (isinstance(expected, ordered) and isinstance(found, unordered)) or (
        isinstance(expected, unordered) and isinstance(found, ordered)
    ):
        return False
    if isinstance(found, sympy.Eq) and not isinstance(expected, sympy.Eq):
        return bool(found.lhs.is_Symbol) and not isinstance(expected, sympy.core.relational.Relational)
    return True


def make_exact() -> None:
    """Replace math-verify's comparison of numbers, which takes 1/2004! for 0 and 0.333333 for 1/3."""
    from math_verify import grader

    grader.sympy_numeric_eq = numbers_equal
    grader.sympy_symbolic_eq = expressions_equal


def numbers_equal(left: Any, right: Any, rounding: int, _precision: int) -> bool:
    """Whether two expressions without variables are one number; ``rounding`` is -1 or the decimals asked for."""
    if hasattr(left, "shape") or hasattr(right, "shape"):
        return matrices_equal(left, right, rounding)
    if left.free_symbols or right.free_symbols:
        return False
    import sympy

    rounded = left.has(sympy.Float) or right.has(sympy.Float)
    left, right = exact(left), exact(right)
    if left == right:
        return True
    if rounded and rounding >= 0:
        return rounds_alike(left, right, rounding)
    if left.is_Rational and right.is_Rational:
        return False
    difference = (left - right).evalf(DIGITS)
    size = abs(left.evalf(DIGITS))
    if not (difference.is_number and size.is_number and difference.is_finite):
        return False
    return bool(abs(difference) <= size * sympy.Float(10) ** (5 - DIGITS))


def rounds_alike(left: Any, right: Any, rounding: int) -> bool:
    """Whether both round to one number; below 1, to as many digits, so that tiny numbers are not all 0."""
    import sympy

    values = [value.evalf(DIGITS) for value in (left, right)]
    if not all(value.is_Float or value.is_Rational for value in values):
        return False
    numbers = [Fraction(str(sympy.Rational(str(value)))) for value in values]
    scale, size = Fraction(10) ** rounding, max(map(abs, numbers))
    while 0 < size < Fraction(1, 10):
        size, scale = size * 10, scale * 10
    return round(numbers[0] * scale) == round(numbers[1] * scale)


def matrices_equal(left: Any, right: Any, rounding: int) -> bool:
    """Whether two matrices have one shape and equal elements."""
    if not (hasattr(left, "shape") and hasattr(right, "shape")):
        return False
    left, right = left.doit(), right.doit()
    if left.shape != right.shape or not (hasattr(left, "flat") and hasattr(right, "flat")):
        return False
    pairs = zip(left.flat(), right.flat(), strict=True)
    return all(numbers_equal(a, b, rounding, 0) or expressions_equal(a, b) for a, b in pairs)


def expressions_equal(left: Any, right: Any) -> bool:
    """Whether two expressions with variables are one: never where they differ at a point, else if sympy proves it."""
    import sympy

    if hasattr(left, "shape") or hasattr(right, "shape") or not (left.free_symbols or right.free_symbols):
        return False
    difference = exact(left) - exact(right)
    if difference == 0:
        return True
    if left.free_symbols != right.free_symbols and not difference.free_symbols:
        return bool(sympy.simplify(difference).is_zero)
    for first in (sympy.Rational(13, 7), sympy.Rational(5, 11)):
        symbols = sorted(difference.free_symbols, key=str)
        point = {symbol: first + sympy.Rational(number, 3) for number, symbol in enumerate(symbols)}
        value = difference.subs(point).evalf(DIGITS)
        if value.is_number and value.is_finite and abs(value) > sympy.Float(10) ** -12:
            return False
    return bool(sympy.simplify(difference).is_zero)


def exact(expression: Any) -> Any:
    """The expression, evaluated, with decimals as the fractions that they are."""
    import sympy

    floats = {number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)}
    return expression.xreplace(floats).doit()


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


if __name__ == "__main__":
    main()
