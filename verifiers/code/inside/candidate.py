"""Driver of the candidate's job: it loads a completion and answers calls with plain data."""

import importlib
import os
import signal
import sys
import types
from typing import Any

from .wire import Channel, NotPlain, decode, encode, encode_other

# Names that programs may use without importing them, as other code graders allow, by source module.
MODULES = frozenset(
    [
        "bisect",
        "collections",
        "copy",
        "datetime",
        "functools",
        "heapq",
        "itertools",
        "json",
        "math",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "sys",
        "time",
        "typing",
    ]
)
_NAMES = {
    "typing": "Any Callable DefaultDict Deque Dict FrozenSet Generator Generic Iterable Iterator List Mapping "
    "NamedTuple Optional Sequence Set Tuple Type TypeVar Union",
    "collections": "Counter OrderedDict defaultdict deque namedtuple",
    "heapq": "heapify heappop heappush heappushpop heapreplace nlargest nsmallest",
    "bisect": "bisect_left bisect_right insort insort_left insort_right",
    "functools": "cache cached_property cmp_to_key lru_cache partial reduce total_ordering wraps",
    "itertools": "accumulate chain combinations combinations_with_replacement count cycle dropwhile groupby islice "
    "pairwise permutations product repeat starmap takewhile tee zip_longest",
    "math": "ceil comb cos dist e exp fabs factorial floor gcd hypot inf isclose isqrt lcm log log10 log2 nan perm pi "
    "prod sin sqrt tan",
    "copy": "deepcopy",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits punctuation",
    "dataclasses": "dataclass field",
    "enum": "Enum",
    "decimal": "Decimal",
    "fractions": "Fraction",
}
SOURCES = {name: module for module, names in _NAMES.items() for name in names.split()}
_MUTABLE = (list, dict, set, bytearray)
RECURSION_LIMIT = 50_000


class Candidate:
    """A completion loaded as a module, with the objects to which the tests hold handles."""

    def __init__(self) -> None:
        self.module = types.ModuleType("candidate")
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._seconds, self._watch = 0.0, True

    def load(self, before: list[str], programs: list[str], wanted: list[str], seconds: float) -> list[Any]:
        """Run ``before``, then the first of ``programs`` that compiles, which must define the ``wanted`` names.

        If ``seconds`` is not 0, it limits the CPU time of each call, and deep recursion is allowed.
        """
        self._seconds, self._watch = seconds, not seconds
        sys.modules["candidate"] = self.module
        if seconds:
            sys.setrecursionlimit(RECURSION_LIMIT)
        names = self.module.__dict__
        try:
            code, error = _first_that_compiles(programs)
            if code is None:
                return ["failed", "syntax", error]
            _bind_known_names(names, code)
            for source in before:
                _run_prompt(source, names)
            for name in wanted:
                names.pop(name, None)
            exec(code, names)
            missing = [name for name in wanted if name not in names and not _solution_has(names, name)]
        except BaseException as raised:  # noqa: BLE001 - anything that the program raises is its failure
            return ["failed", "raised", _exception_name(raised)]
        return ["failed", "missing", ", ".join(missing)] if wanted and missing == wanted else ["loaded"]

    def answer(self, number: int, kind: str, target: Any, name: str, arguments: Any) -> list[Any]:
        """Return the reply to one request; ``target`` is the number of a handle, or None for the module."""
        try:
            if self._seconds:
                signal.setitimer(signal.ITIMER_PROF, self._seconds)  # kills the job; machine load does not count
            if kind == "call":
                return [number, *self._call(target, name, arguments)]
            if kind == "set":
                setattr(self._objects[target], name, decode(arguments, self._objects.__getitem__))
                return [number, "value", None, None]
            return [number, "value", self._send(getattr(self._objects[target], name)), None]
        except BaseException as raised:  # noqa: BLE001 - only its name is sent
            return [number, "raised", _exception_name(raised)]

    def _call(self, target: Any, name: str, arguments: Any) -> list[Any]:
        args, kwargs = decode(arguments, self._objects.__getitem__)
        before = _snapshot(args) if self._watch else None
        value = self._function(target, name)(*args, **kwargs)
        if isinstance(value, types.CoroutineType):
            value = _run_coroutine(value)
        after = _snapshot(args) if before else None
        return ["value", self._send(value), after if after != before else None]

    def _function(self, target: Any, name: str) -> Any:
        if target is not None:
            return self._objects[target]
        names = self.module.__dict__
        if _solution_has(names, name):
            return getattr(names["Solution"](), name)
        if name not in names:
            raise NameError(name)
        return names[name]

    def _send(self, value: Any) -> Any:
        return encode(value, self._other)

    def _other(self, value: Any) -> Any:
        try:
            return encode_other(value, self._other)
        except NotPlain:
            return ["h", self.keep(value)]

    def keep(self, value: Any) -> int:
        """Return the handle number of an object."""
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)  # kept alive, so that its id is not reused
        return number


def _snapshot(args: tuple[Any, ...]) -> list[Any] | None:
    """Return the encoded arguments if a call could mutate any of them, else None."""
    if not any(isinstance(arg, _MUTABLE) for arg in args):
        return None
    try:
        return [encode(arg, _unchanged) for arg in args]
    except NotPlain:
        return None


def _unchanged(value: Any) -> Any:
    return ["h", -1]


def _first_that_compiles(programs: list[str]) -> tuple[Any, str]:
    error = "there is no program"
    for number, program in enumerate(programs):
        try:
            return compile(program, "candidate.py", "exec", dont_inherit=True), ""
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as raised:
            if not number:
                error = f"{type(raised).__name__}: {raised}"[:200]
    return None, error


def _bind_known_names(names: dict[str, Any], code: Any) -> None:
    """Bind names that the program uses without importing them."""
    pending, used = [code], set()
    while pending:
        part = pending.pop()
        used.update(part.co_names)
        pending += [inner for inner in part.co_consts if isinstance(inner, types.CodeType)]
    for name in used:
        if name in SOURCES:
            names[name] = getattr(importlib.import_module(SOURCES[name]), name)
        elif name in MODULES:
            names[name] = importlib.import_module(name)


def _run_prompt(source: str, names: dict[str, Any]) -> None:
    """Run the task's prompt, with imports and helper functions; a function stub gets an empty body."""
    for text in (source, f"{source}\n    pass\n"):
        try:
            code = compile(text, "prompt.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        exec(code, names)
        return


def _solution_has(names: dict[str, Any], name: str) -> bool:
    solution = names.get("Solution")
    return isinstance(solution, type) and hasattr(solution, name)


def _run_coroutine(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _exception_name(raised: BaseException) -> str:
    return str(type(raised).__name__)[:100]


def serve() -> None:
    """Answer requests until the channel closes, then exit without running any more of the program."""
    channel, candidate = Channel(), Candidate()
    load = channel.read()
    channel.write(candidate.load(*load))
    while message := channel.read():
        channel.write(candidate.answer(*message))
    os._exit(0)
