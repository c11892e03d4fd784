"""The program of a worker that makes and scores Reasoning Gym's tasks; it is run by its path under ``python -I``.

It uses the package's own scorers, made safe: four of them call ``eval`` on the answer, five call ``sympy.parse_expr``,
which evaluates it too, and a few give points for nonsense. The program imports nothing from Lachesis.
"""

import ast
import ctypes
import json
import math
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

MEMORY_BYTES = 4 << 30
"""Most bytes of address space."""
LITERALS_ONLY = ("binary_matrix", "n_queens", "spiral_matrix", "string_insertion")
"""Datasets whose scorers evaluate the answer. They now read literals only; anything else is a wrong answer."""
FORMULAS_ONLY = ("countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration")
"""Datasets whose scorers let sympy parse the answer. They now read numbers, letters, known functions and operators."""
_FUNCTIONS = r"a?(?:sin|cos|tan)h?|cot|sec|csc|exp|log|ln|sqrt|pi"
_FORMULA = re.compile(rf"(?:\s++|\d++(?:\.\d*+)?|(?:{_FUNCTIONS}|[A-MPRT-Za-z])(?![\w.])|\*\*|[-+*/()])*+", re.ASCII)
_FORBIDDEN = ("ctypes.", "os.exec", "os.fork", "os.kill", "os.posix_spawn", "os.spawn", "os.system", "pty.")
_NETWORK = ("socket.", "subprocess.")
_SCALARS = (str, int, float, bool, type(None))


def start_again_with_fixed_hashes() -> None:
    """Restart under fixed string hashes: some datasets draw from sets, whose order depends on them."""
    if os.environ.get("PYTHONHASHSEED") != "0" or sys.flags.hash_randomization:
        command = [sys.executable, "-P", "-s", "-B", *sys.argv]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})


def bound_process(parent: int) -> None:
    """End when ``parent`` ends, limit memory, and refuse to write files, start programs and open sockets."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for name, value in (("RLIMIT_AS", MEMORY_BYTES), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_NPROC", 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):  # macOS lacks some: the CPU timer still holds
            continue
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, args: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(args[2], int) and args[2] & writing
        if written or event.startswith((*_FORBIDDEN, *_NETWORK)):
            raise PermissionError(f"{event} in a worker")

    sys.addaudithook(hook)


def guard_scorers() -> None:
    """Replace the evaluators that the scorers call by safe ones."""
    import reasoning_gym.factory
    import sympy

    parse = sympy.parse_expr

    def parse_formula(text: str, *args: Any, **more: Any) -> Any:
        if not _FORMULA.fullmatch(text):
            raise ValueError("not a formula of numbers, letters and known functions")
        return parse(text, *args, **more)

    sympy.parse_expr = parse_formula
    for names, evaluator, safe in (
        (LITERALS_ONLY, "eval", ast.literal_eval),
        (FORMULAS_ONLY, "parse_expr", parse_formula),
    ):
        for name in names:
            module = import_module(reasoning_gym.factory.DATASETS[name][0].__module__)
            setattr(module, evaluator, safe)


@lru_cache(maxsize=64)
def dataset(name: str, options: str, seed: int, size: int) -> Any:
    """The dataset; ``options`` is JSON text."""
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=seed, size=size, **json.loads(options))


def make(name: str, options: dict[str, Any], seed: int, size: int) -> dict[str, Any]:
    """Up to ``size`` items; items whose own answer does not get the full score are left out."""
    made = dataset(name, json.dumps(options), seed, size)
    items = [made[number] for number in range(size)]
    kept = [item for item in items if item["answer"] is None or points(made, name, item["answer"], item) >= 0.99]
    return {"items": [{part: pack(item[part]) for part in ("question", "answer", "metadata")} for item in kept]}


def score(name: str, options: dict[str, Any], item: dict[str, Any], answer: str) -> dict[str, Any]:
    """The score of an answer; 0 if the scorer raises, unless it raises on the item's own answer too."""
    judge, entry = dataset(name, json.dumps(options), 0, 1), {part: unpack(value) for part, value in item.items()}
    try:
        return {"score": points(judge, name, answer, entry)}
    except Exception as error:  # noqa: BLE001 - scorers raise anything on odd answers
        reason = f"{type(error).__name__}: {error}"[:200]
    if entry["answer"] is not None:
        try:
            points(judge, name, entry["answer"], entry)
        except Exception:  # noqa: BLE001 - the same
            return {"broken": reason}
    return {"score": 0.0, "reason": reason}


def points(judge: Any, name: str, answer: str, entry: dict[str, Any]) -> float:
    """The package's score from 0 to 1, corrected for the scorers in ``_OVERRIDES``."""
    given = float(_OVERRIDES[name](judge, answer, entry) if name in _OVERRIDES else judge.score_answer(answer, entry))
    return min(max(given, 0.0), 1.0) if math.isfinite(given) else 0.0


def _same_word(judge: Any, answer: str, entry: dict[str, Any]) -> float:
    return float(answer.strip().lower() == str(entry["answer"]).strip().lower())


def _same_json(judge: Any, answer: str, entry: dict[str, Any]) -> float:
    try:
        return float(json.loads(answer) == json.loads(entry["answer"]))
    except ValueError:
        return float(answer.strip() == entry["answer"].strip())


def _finite(judge: Any, answer: str, entry: dict[str, Any]) -> float:
    return 0.0 if re.search("nan|inf", answer, re.IGNORECASE) else float(judge.score_answer(answer, entry))


def _own_numbers(judge: Any, answer: str, entry: dict[str, Any]) -> float:
    used = sorted(map(int, re.findall(r"\d{1,9}", answer)))
    return float(judge.score_answer(answer, entry)) if used == sorted(entry["metadata"]["numbers"]) else 0.0


def _with_variables(judge: Any, answer: str, entry: dict[str, Any]) -> float:
    return float(judge.score_answer(answer, entry)) if re.search("[A-Z]", answer) else 0.0


_OVERRIDES: dict[str, Callable[[Any, str, dict[str, Any]], float]] = {
    "codeio": _same_json,  # its likeness of objects is 1 for {}
    "complex_arithmetic": _finite,  # nan is at no distance
    "game_of_life_halting": _same_word,  # it compares bool(text) with bool(text)
    "propositional_logic": _with_variables,  # a text without variables is a tautology to it
    "puzzle24": _own_numbers,  # it takes any four numbers
}
"""Corrections of scorers that give points for wrong answers."""


def pack(value: Any) -> Any:
    """``value`` as JSON from which ``unpack`` makes an equal value: tuples stay tuples, keys keep their types."""
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if type(value) in _SCALARS:
        return value
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [pack(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(key), pack(item)] for key, item in value.items()]}
    if isinstance(value, _SCALARS):  # a member of an enumeration
        return getattr(value, "value", value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


def unpack(value: Any) -> Any:
    """The value that ``pack`` was given."""
    match value:
        case {"tuple": items}:
            return tuple(map(unpack, items))
        case {"dict": pairs}:
            return {unpack(key): unpack(item) for key, item in pairs}
        case {"float": text}:
            return float(text)
        case list():
            return [unpack(item) for item in value]
    return value


def names() -> dict[str, Any]:
    """The names of all datasets."""
    from reasoning_gym.factory import DATASETS

    return {"names": sorted(DATASETS)}


_SERVICES: dict[str, Callable[..., dict[str, Any]]] = {"make": make, "score": score, "names": names}


def answer_line(line: str) -> dict[str, Any]:
    """The answer to one request, within its CPU time."""
    request = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, request.pop("cpu_seconds"))  # SIGPROF ends the process
    try:
        return _SERVICES[request.pop("do")](**request)
    except (MemoryError, RecursionError) as error:
        return {"limit": f"{type(error).__name__} in the scorer", "retire": True}
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        return {"failed": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Serve requests, a line each, until the pipe closes."""
    start_again_with_fixed_hashes()
    out, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - the package may print
    try:
        guard_scorers()
        made = make("countdown", {}, 1, 1)["items"][0]
        found = score("countdown", {}, made, made["answer"]), score("countdown", {}, made, "__import__('os').getpid()")
        hello: dict[str, Any] = (
            {"ready": True} if found[0]["score"] == 1 > found[1]["score"] else {"failed": str(found)}
        )
    except Exception as error:  # noqa: BLE001 - the same
        hello = {"failed": f"{type(error).__name__}: {error}"}
    bound_process(int(sys.argv[1]))
    out.write(json.dumps(hello) + "\n")
    out.flush()
    for line in sys.stdin:
        out.write(json.dumps(answer_line(line)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
