"""Tools that a policy may call: typed functions, or the public methods of an object made for the episode."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ..verifiers.errors import ConfigError, nearest
from ..verifiers.tool_call import ToolCall


@dataclass(frozen=True)
class Tool:
    """A callable with the schema that its signature and docstring spell."""

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[..., Any]

    @property
    def schema(self) -> dict[str, Any]:
        """The tool as a JSON schema in the OpenAI shape."""
        parameters = self.arguments.model_json_schema()
        parameters.pop("title", None)
        for field in parameters.get("properties", {}).values():
            field.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolResult:
    """What a call gave: text for the model, and whether it failed."""

    name: str
    content: str
    failed: bool = False


def make_tool(function: Callable[..., Any]) -> Tool:
    """Read a tool off a function's name, signature and docstring.

    Raises:
        ConfigError: a parameter without a type, or of a kind that JSON arguments cannot fill.
    """
    name = getattr(function, "__name__", type(function).__name__)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(f"tool {name!r}: parameter {parameter.name!r} cannot be given by name; write it out")
        if parameter.annotation is parameter.empty:
            raise ConfigError(f"tool {name!r}: parameter {parameter.name!r} has no type; annotate it")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)
    model = create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    return Tool(name, inspect.getdoc(function) or "", model, function)


class ToolBox:
    """The tools of one episode.

    All sync functions run on one thread that lives as long as the episode (an sqlite connection needs that); with
    ``inline`` they run in place, so that a breakpoint works.
    """

    def __init__(self, sources: Iterable[Any], inline: bool = False) -> None:
        functions = [function for source in sources for function in _functions(source)]
        self.tools = {tool.name: tool for tool in map(make_tool, functions)}
        if len(self.tools) != len(functions):
            raise ConfigError(f"two tools have one name among {[function.__name__ for function in functions]}")
        self._inline = inline
        self._thread: ThreadPoolExecutor | None = None

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """Every tool's JSON schema."""
        return [tool.schema for tool in self.tools.values()]

    async def call(self, call: ToolCall) -> ToolResult:
        """Carry out one call; whatever goes wrong in it is a result for the model to read."""
        if call.error:
            return ToolResult(call.name or "unknown", f"Error: the call could not be read: {call.error}", failed=True)
        tool = self.tools.get(call.name)
        if tool is None:
            return ToolResult(call.name, f"Error: no tool {call.name!r}; {nearest(call.name, self.tools)}", failed=True)
        try:
            arguments = dict(tool.arguments.model_validate(call.arguments, strict=True))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            return ToolResult(call.name, f"Error: bad arguments: {faults}", failed=True)
        try:
            value = await self._run(tool, arguments)
        except Exception as error:  # noqa: BLE001 - a tool that raises answers the model with its error
            return ToolResult(call.name, f"Error: {type(error).__name__}: {error}", failed=True)
        return ToolResult(
            call.name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )

    async def _run(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(tool.function):
            return await tool.function(**arguments)
        if self._inline:
            return tool.function(**arguments)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tools")
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: tool.function(**arguments))

    def close(self) -> None:
        """Let the thread go; a call that still runs on it is abandoned."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _functions(source: Any) -> list[Callable[..., Any]]:
    if inspect.isroutine(source):
        return [source]
    return [method for name, method in inspect.getmembers(source, inspect.ismethod) if not name.startswith("_")]
