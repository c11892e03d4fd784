"""Driver of the tests' job: it runs a script of asserts against a candidate in another job."""

import ast
import builtins
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from .wire import MAX_DEPTH, Channel, NotPlain, decode, encode, encode_items

_KEEP = object()
_MAX_RESULTS = 200
_MAX_REASON = 300
# Never raised in the tests as such: some of them would silently end a loop.
_SILENT = ("StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt", "SystemExit")


class CandidateError(Exception):
    """The candidate raised an exception that is not a built-in one; only its name is known."""


class Unsplittable(BaseException):
    """The tests pass a value that cannot be serialised."""


class Gone(BaseException):
    """The candidate has ended."""


class Remote:
    """Proxy of the candidate for the tests: calls are sent out, plain data comes back.

    Whatever the candidate returns can be sent back to it, so only values that the tests create make them unsplittable.

    Args:
        exchange: sends one request and returns the reply, or None if the candidate has ended.
        other: encodes an argument that is not plain data; None if such an argument cannot be sent.
        in_place: whether arguments that a call mutated are updated here even if it returned a value.
    """

    def __init__(
        self, exchange: Callable[[list[Any]], Any], other: Callable[[Any], Any] | None, in_place: bool = False
    ) -> None:
        self._exchange, self._other, self._in_place = exchange, other, in_place
        self.calls = 0
        self.gone = False
        self.unsplittable = ""
        self._objects: dict[int, Any] = {}

    def function(self, name: str, target: int | None = None) -> Callable[..., Any]:
        """Return the proxy function that the tests call as ``name``."""

        def candidate(*args: Any, **kwargs: Any) -> Any:
            value, changed = self.ask("call", target, name, (args, kwargs))
            if changed is not None and (value is None or self._in_place):
                for old, new in zip(args, changed, strict=True):
                    _update_in_place(old, new)
            return value

        return candidate

    def ask(self, kind: str, target: int | None, name: str, arguments: Any = None) -> tuple[Any, Any]:
        """Return the value from the candidate, and its arguments if it mutated them."""
        self.calls += 1
        if self.gone:
            raise Gone
        try:
            wire = encode(arguments, self._number, deepest=2 * MAX_DEPTH)
        except NotPlain as error:
            self.unsplittable = str(error)
            raise Unsplittable(self.unsplittable) from None
        reply = self._exchange([kind, target, name, wire])
        if not reply:
            self.gone = True
            raise Gone
        if reply[0] == "raised":
            raise _exception(reply[1])
        return decode(reply[1], self._handle), reply[2] and [decode(part, self._handle) for part in reply[2]]

    def keep(self, number: int, value: Any) -> None:
        """Remember ``value`` by its number, in case the candidate returns it."""
        self._objects[number] = value

    def _number(self, value: Any) -> Any:
        if type(value) is _Handle:
            return ["h", value._number]
        wire = self._other(value) if self._other else encode_items(value, self._number)
        if wire is None:
            raise NotPlain(f"the tests pass a value of type {type(value).__name__}, which is not plain data")
        return wire

    def _handle(self, number: int) -> Any:
        if number == -1:
            return _KEEP
        if number not in self._objects:
            self._objects[number] = _Handle(self, number)
        return self._objects[number]


class _Handle:
    """Handle of an object in the candidate's job; it equals only itself."""

    def __init__(self, remote: Remote, number: int) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._remote.ask("get", self._number, name)[0]

    def __setattr__(self, name: str, value: Any) -> None:
        self._remote.ask("set", self._number, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._remote.function("", self._number)(*args, **kwargs)

    def __repr__(self) -> str:
        return "<an object of the candidate>"


def _exception(name: str) -> BaseException:
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception) or name in _SILENT:
        return CandidateError(name)
    try:
        return kind()
    except TypeError:  # UnicodeDecodeError and others need arguments
        return CandidateError(name)


def _update_in_place(old: Any, new: Any) -> None:
    """Update ``old`` in place to the content of ``new``, as far as it was sent."""
    if type(old) is not type(new) or new is _KEEP:
        return
    if isinstance(old, list):
        if len(old) == len(new):
            new = [_merge(inner, other) for inner, other in zip(old, new, strict=True)]
        if not any(item is _KEEP for item in new):
            old[:] = new
    elif isinstance(old, dict):
        new = {key: _merge(old.get(key), value) for key, value in new.items()}
        if not any(value is _KEEP for value in new.values()):
            old.clear()
            old.update(new)
    elif isinstance(old, set) and _KEEP not in new:
        old.clear()
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new


def _merge(old: Any, new: Any) -> Any:
    if new is _KEEP:
        return old
    if isinstance(old, list | dict | set | bytearray) and type(old) is type(new):
        _update_in_place(old, new)
        return old
    return new


class Script:
    """The tests and their results.

    Args:
        setup: sources of the task that run first.
        tests: one script whose asserts are the tests, or several scripts that are one test each.
        entry: name of the function passed to ``check``; empty if tests call functions by name.
        references: reference sources; the first that defines ``entry`` provides it to the script by name.
        stop: whether to stop at the first failure.
    """

    def __init__(self, setup: list[str], tests: list[str], entry: str, references: list[str], stop: bool) -> None:
        self._names: dict[str, Any] = {"__name__": "tests", "__builtins__": dict(vars(builtins))}
        self._entry, self._stop = entry, stop
        self._setup = [_parse(text) for text in setup]
        self._tests = [ast.parse(text) for text in tests]
        self._each = len(tests) > 1 or not entry
        self._results: list[list[Any]] = []
        self._reference = next(filter(None, (_reference(text, entry) for text in references)), None)
        self.wanted, self._modules = _free_names([*self._setup, *self._tests], {entry, "candidate"} if entry else set())

    def run(self, remote: Remote) -> dict[str, Any]:
        """Run all tests, and return the counts and results."""
        complete, error = True, ""
        try:
            self._prepare(remote)
            for number, tree in enumerate(self._tests):
                self._run_one(tree, number)
            if self._entry and "check" in self._names:
                self._names["check"](remote.function(self._entry))
        except BaseException as raised:  # noqa: BLE001 - if the tests end by any exception, they have not passed
            complete, error = False, _describe(raised)
        passed = sum(status == "ok" for _, status, _ in self._results)
        return {
            "complete": complete and not remote.gone,
            "error": error,
            "calls": remote.calls,
            "passed": passed,
            "failed": sum(status == "wrong" for _, status, _ in self._results),
            "of": len(self._results),
            "results": self._shown(),
        }

    def _shown(self) -> list[list[Any]]:
        """Return the first results, and of the others those that failed, up to a number."""
        later = [row for row in self._results[_MAX_RESULTS:] if row[1] == "wrong"]
        return self._results[:_MAX_RESULTS] + later[:_MAX_RESULTS]

    def _prepare(self, remote: Remote) -> None:
        names = self._names
        for name in self._modules:
            names[name] = importlib.import_module(name)
        for name in self.wanted:
            names[name] = remote.function(name)
        for tree in self._setup:
            exec(compile(tree, "setup.py", "exec"), names)
        if self._entry:
            names[self._entry] = self._reference or remote.function(self._entry)
            names["candidate"] = remote.function(self._entry)
        if self._each:
            self._results = [[f"test {number + 1}", "not reached", ""] for number in range(len(self._tests))]
        else:
            recorder = _AssertRecorder(self._results)
            self._tests = [ast.fix_missing_locations(recorder.visit(tree)) for tree in self._tests]
            names["_lachesis_record"] = self._record

    def _run_one(self, tree: ast.Module, number: int) -> None:
        code = compile(tree, "test.py", "exec")
        if not self._each:
            exec(code, self._names)
            return
        try:
            exec(code, self._names)
        except BaseException as raised:  # noqa: BLE001 - any exception fails this test
            self._record(number, raised)
        else:
            self._record(number, None)

    def _record(self, number: int, raised: BaseException | None) -> None:
        """Record the outcome of one test; an assert in a loop passes if it never fails."""
        row = self._results[number]
        if raised is None:
            row[1] = "ok" if row[1] == "not reached" else row[1]
            return
        row[1:] = ["wrong", _describe(raised)]
        if self._stop or not isinstance(raised, Exception):
            raise raised


class _AssertRecorder(ast.NodeTransformer):
    """Rewrites each assert so that its outcome is recorded."""

    def __init__(self, results: list[list[Any]]) -> None:
        self._results = results

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        number = len(self._results)
        self._results.append([f"line {node.lineno}", "not reached", ""])
        caught = ast.Name("_lachesis_error", ast.Load())
        handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), caught.id, [_record_call(number, caught)])
        made = ast.Try([node], [handler], [_record_call(number, ast.Constant(None))], [])
        return ast.copy_location(made, node)


def _record_call(number: int, what: ast.expr) -> ast.Expr:
    return ast.Expr(ast.Call(ast.Name("_lachesis_record", ast.Load()), [ast.Constant(number), what], []))


def _parse(source: str) -> ast.Module:
    """Parse ``source``; if it ends in a function header, add an empty body."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(f"{source}\n    pass\n")


def _reference(source: str, entry: str) -> Any:
    names = {"__name__": "reference"}
    try:
        exec(compile(source, "reference.py", "exec"), names)
    except Exception:  # noqa: BLE001 - a source that does not run is not a reference
        return None
    return names.get(entry)


def _free_names(trees: list[ast.Module], known: set[str]) -> tuple[list[str], list[str]]:
    """Return what the tests use without defining it: names, and modules of the standard library."""
    used: set[str] = set()
    modules: set[str] = set()
    bound = {*vars(builtins), *known}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            modules.add(node.value.id)
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    free = used - bound
    standard = free & modules & set(sys.stdlib_module_names)
    return sorted(free - standard), sorted(standard)


def _describe(raised: BaseException) -> str:
    name = type(raised).__name__
    try:
        return f"{name}: {raised}"[:_MAX_REASON]
    except Exception:  # noqa: BLE001 - its __str__ may fail
        return name[:_MAX_REASON]


def start(message: list[Any], nonce: str, channel: Channel) -> Script | None:
    """Return the script that ``message`` describes, or None after telling the parent that it cannot be parsed."""
    try:
        script = Script(*message)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        channel.write([nonce, "broken", _describe(error)])
        return None
    channel.write([nonce, "ready", script.wanted])
    return script


def finish(script: Script, remote: Remote, nonce: str, channel: Channel) -> None:
    """Run the script and send its outcome."""
    outcome = script.run(remote)
    channel.write([nonce, *(["unsplittable", remote.unsplittable] if remote.unsplittable else ["verdict", outcome])])


def serve() -> None:
    """Run the tests of the first message against the candidate at the other end of the channel."""
    channel = Channel()
    nonce, in_place, *message = channel.read()

    def exchange(request: list[Any]) -> Any:
        channel.write([nonce, "ask", *request])
        return channel.read()

    script = start(message, nonce, channel)
    if script and channel.read():
        finish(script, Remote(exchange, None, in_place), nonce, channel)
    channel.read()  # the parent closes the channel when it has read everything
    os._exit(0)
