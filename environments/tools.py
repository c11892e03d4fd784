"""Tools that a policy may call: typed functions, or the public methods of an object made for the episode."""

import asyncio
import functools
import inspect
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model

from ..verifiers.boundary import Boundary
from ..verifiers.errors import ConfigError, nearest
from ..verifiers.tool_calling.call import ToolCall
from .mcp import McpConnection, McpServer


@dataclass(frozen=True)
class Tool:
    """A function that a policy may call, with a schema from its signature and docstring or from a server."""

    name: str
    arguments: type[BaseModel] | None
    """Parses a call's arguments; None if a server does that."""
    schema: dict[str, Any]
    """The tool as a JSON schema in the OpenAI shape."""
    function: Callable[..., Any]


@dataclass(frozen=True)
class ToolResult:
    """The result of a call: text for the model, and whether the call failed."""

    name: str
    content: str
    failed: bool = False


def shortened(content: str, most: int) -> str:
    """Return a result with at most ``most`` characters of its beginning and end, and between them how many were cut."""
    if len(content) <= most:
        return content
    end = most // 4
    cut = len(content) - most
    return (
        f"{content[: most - end]}\n[… {cut} characters of this result were cut out …]\n{content[len(content) - end :]}"
    )


def make_tool(function: Callable[..., Any]) -> Tool:
    """Make a tool from a function's name, signature and docstring.

    Raises:
        ConfigError: a parameter has no type, or one that JSON cannot express.
    """
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if plain not in _READ:
        _READ[plain] = _read(function)
    return Tool(*_READ[plain], function)


_READ: WeakKeyDictionary[Callable[..., Any], tuple[str, type[BaseModel], dict[str, Any]]] = WeakKeyDictionary()
"""A cache by function: building a model takes a millisecond, and every episode makes its tools again."""


def _read(function: Callable[..., Any]) -> tuple[str, type[BaseModel], dict[str, Any]]:
    """Name, arguments and schema of a function."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        fields = {p.name: _field(name, p) for p in inspect.signature(function, eval_str=True).parameters.values()}
        config = ConfigDict(extra="forbid", protected_namespaces=())
        arguments: type[BaseModel] = create_model(name, __config__=config, **fields)
        parameters = arguments.model_json_schema()
    except (NameError, PydanticUserError) as error:
        raise ConfigError(f"tool {name!r}: its signature cannot be read as JSON: {error!s:.300}") from None
    parameters.pop("title", None)
    for field in parameters.get("properties", {}).values():
        field.pop("title", None)
    described = {"name": name, "description": inspect.getdoc(function) or "", "parameters": parameters}
    return name, arguments, {"type": "function", "function": described}


def _field(tool: str, parameter: inspect.Parameter) -> Any:
    """The parameter as pydantic wants it: (type, default)."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ConfigError(f"tool {tool!r}: parameter {parameter.name!r} cannot be given by name; write it out")
    if parameter.annotation is parameter.empty:
        raise ConfigError(f"tool {tool!r}: parameter {parameter.name!r} has no type; annotate it")
    return parameter.annotation, ... if parameter.default is parameter.empty else parameter.default


class ToolBox:
    """The tools of one episode.

    All sync functions run on one thread that lives as long as the episode (an sqlite connection needs that); with
    ``inline`` they run in place, so that a breakpoint works. MCP servers are connected by ``open``.
    """

    def __init__(self, sources: Iterable[Any], inline: bool = False) -> None:
        self.tools: dict[str, Tool] = {}
        self._connections: list[McpConnection] = []
        for source in sources:
            if isinstance(source, McpServer):
                self._connections.append(source.connect())
            elif isinstance(source, Tool):
                self._add([source])
            else:
                self._add(make_tool(function) for function in _functions(source))
        self._inline = inline
        self._thread: EpisodeThread | None = None

    async def open(self) -> None:
        """Connect to the servers, and add their tools."""
        for connection in self._connections:
            found = await connection.open()
            self._add(Tool(name, None, schema, function) for name, schema, function in found)

    def _add(self, tools: Iterable[Tool]) -> None:
        for tool in tools:
            if tool.name in self.tools:
                raise ConfigError(f"two tools have one name: {tool.name!r}")
            self.tools[tool.name] = tool

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """Every tool's JSON schema."""
        return [tool.schema for tool in self.tools.values()]

    async def call(self, call: ToolCall) -> ToolResult:
        """Carry out one call; if it fails, the result is an error message for the model."""
        if call.error:
            return ToolResult(call.name or "unknown", f"Error: the call could not be read: {call.error}", failed=True)
        tool = self.tools.get(call.name)
        if tool is None:
            return ToolResult(call.name, f"Error: no tool {call.name!r}; {nearest(call.name, self.tools)}", failed=True)
        try:
            arguments = dict(call.arguments)
            if tool.arguments:
                arguments = dict(tool.arguments.model_validate_json(json.dumps(call.arguments), strict=True))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            return ToolResult(call.name, f"Error: bad arguments: {faults}", failed=True)
        with Boundary() as outcome:  # an infrastructure failure passes through: it is not the model's fault
            value = await self._run(tool, arguments)
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if outcome.fault:
            return ToolResult(call.name, f"Error: {outcome.fault.message}", failed=True)
        return ToolResult(call.name, text)

    async def _run(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(tool.function):
            return await tool.function(**arguments)
        if self._inline:
            value = tool.function(**arguments)
        else:
            if self._thread is None:
                self._thread = EpisodeThread()
            value = await asyncio.wrap_future(self._thread.submit(lambda: tool.function(**arguments)))
        return await value if inspect.isawaitable(value) else value  # a wrapped async function

    async def close(self) -> None:
        """End the thread and the connections; a call that still runs is abandoned."""
        if self._thread is not None:
            self._thread.close()
        if self._connections:
            await asyncio.gather(*(connection.close() for connection in self._connections))


class EpisodeThread:
    """A thread that runs the calls of one episode in order.

    It is a daemon, so a call that hangs does not keep the process alive.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="tools", daemon=True).start()

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """A future with the result of ``function``."""
        future: Future[Any] = Future()
        self._calls.put((future, function))
        return future

    def close(self) -> None:
        """End after the calls that were submitted; cancelled ones are skipped."""
        self._calls.put(None)

    def _run(self) -> None:
        while call := self._calls.get():
            future, function = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except StopIteration as error:  # a future cannot hold it: awaiting it would never return
                future.set_exception(RuntimeError(f"StopIteration: {error}"))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the future is awaited
                future.set_exception(error)


def _functions(source: Any) -> list[Callable[..., Any]]:
    if inspect.isroutine(source):
        return [source]
    if isinstance(source, functools.partial):
        raise ConfigError(f"{source!r:.80} has neither name nor docstring; write a function around it")
    return [method for name, method in inspect.getmembers(source, inspect.ismethod) if not name.startswith("_")]
