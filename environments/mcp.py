"""Tools of MCP servers, reached by standard input and output or by HTTP."""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..verifiers.errors import ConfigError, InfrastructureError
from ..verifiers.processes.marked import end_processes

GRACE = 10.0
"""Seconds that an open connection has to end by itself before its task is cancelled."""
_MARK = "LACHESIS_MCP_SERVER"
MAX_TOOLS = 1000
"""Most tools, and most pages of them, that are read of one server."""


@dataclass(frozen=True)
class McpServer:
    """A server whose tools an episode may call; return it from ``tools(episode)``.

    Each episode has a connection of its own. If the server cannot be reached, or is lost, the episode is not scored,
    because that is not the policy's fault.

    Attributes:
        command: starts a server for the episode, which talks through its standard input and output.
        url: address of a running server (streamable HTTP); give either this or ``command``.
        env: environment variables for ``command``, which inherits only a few.
        only: names of the tools to offer; empty for all.
        deadline: seconds for connecting, and for each call.

    Raises:
        ConfigError: neither or both of command and url are given, or the extra is not installed.
    """

    command: Sequence[str] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()
    deadline: float = 60.0

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise ConfigError("an McpServer needs either a command or a url, and not both")
        try:
            import mcp  # noqa: F401
        except ImportError:
            raise ConfigError("MCP servers need the extra: pip install 'lachesis-rl[mcp]'") from None

    def connect(self) -> "McpConnection":
        """A connection, not yet open."""
        return McpConnection(self)


class McpConnection:
    """One connection, held by a task of its own, so that cancelling the task does not cancel the episode."""

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._who = server.url or " ".join(server.command)
        self._mark = uuid.uuid4().hex  # in the environment of the server and of all that it starts
        self._closing = asyncio.Event()
        self._ready = False
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> list[tuple[str, dict[str, Any], Callable[..., Any]]]:
        """Name, schema in the OpenAI shape, and function of each tool.

        Raises:
            InfrastructureError: the server cannot be reached in time.
            ConfigError: ``only`` names a tool that the server does not have.
        """
        ready: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(ready), name="mcp")
        try:
            async with asyncio.timeout(self.server.deadline):
                found = await ready
        except TimeoutError:
            raise InfrastructureError(f"no MCP server at {self._who} within {self.server.deadline:g} s") from None
        names = [tool.name for tool in found]
        for name in self.server.only:
            if name not in names:
                raise ConfigError(f"the MCP server {self._who} has no tool {name!r}; it has {', '.join(names)}")
        wanted = [tool for tool in found if not self.server.only or tool.name in self.server.only]
        return [(tool.name, _schema(tool), self._function(tool.name)) for tool in wanted]

    async def close(self) -> None:
        """End the connection, and the server if it was started for it."""
        if self._task is None:
            return
        self._closing.set()
        if self._ready:
            await asyncio.wait([self._task], timeout=GRACE)
        elif self.server.command:  # the client would give a server that never came up time to end by itself
            await asyncio.to_thread(end_processes, _MARK, self._mark)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([self._task], timeout=GRACE)
        if self.server.command:
            await asyncio.to_thread(end_processes, _MARK, self._mark)

    async def _keep(self, ready: "asyncio.Future[list[Any]]") -> None:
        from mcp import Client, StdioServerParameters

        server = self.server
        target: Any = server.url
        if server.command:
            program, *arguments = server.command
            target = StdioServerParameters(command=program, args=arguments, env={**server.env, _MARK: self._mark})
        try:
            async with Client(target, read_timeout_seconds=server.deadline) as client:
                self._client = client
                page = await client.list_tools()
                found = list(page.tools)
                pages = 1
                while page.next_cursor:
                    if len(found) >= MAX_TOOLS or pages == MAX_TOOLS:
                        raise InfrastructureError(f"its list of tools goes on after {len(found)} tools, {pages} pages")
                    page = await client.list_tools(cursor=page.next_cursor)
                    found += page.tools
                    pages += 1
                if not ready.done():
                    ready.set_result(found)
                self._ready = True
                await self._closing.wait()
        except BaseException as error:  # noqa: BLE001 - also an exception group, or a cancellation by the client itself
            if not ready.done():
                ready.set_exception(InfrastructureError(f"no MCP server at {self._who}: {_innermost(error)}"))
        finally:
            self._client = None

    def _function(self, name: str) -> Callable[..., Any]:
        async def call(**arguments: Any) -> str:
            client = self._client
            if client is None:
                raise InfrastructureError(f"the MCP server {self._who} was lost")
            try:
                async with asyncio.timeout(self.server.deadline):
                    result = await client.call_tool(name, arguments)
            except TimeoutError:
                raise TimeoutError(f"no result within {self.server.deadline:g} s") from None
            except Exception as error:
                if self._client is None or _is_lost(error):
                    raise InfrastructureError(f"the MCP server {self._who} was lost: {_innermost(error)}") from None
                raise
            text = result_text(result)
            if result.is_error:
                raise McpToolError(text)
            return text

        return call


class McpToolError(Exception):
    """Raised with the error message of a server's tool."""


def _schema(tool: Any) -> dict[str, Any]:
    described = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": described}


def result_text(result: Any) -> str:
    """A result as text: its parts, one after another, and its structured content as JSON if no part has text.

    An embedded resource is its text, a link its name and address; other parts are their type in brackets. A result
    without anything says so.
    """
    parts = [_text(part) for part in result.content]
    if result.structured_content is not None and not any(_has_text(part) for part in result.content):
        parts = [*filter(str.strip, parts), json.dumps(result.structured_content, ensure_ascii=False)]
    text = "\n".join(parts)
    return text if text.strip() else "(empty result)"


def _has_text(part: Any) -> bool:
    text = part.text if part.type == "text" else getattr(getattr(part, "resource", None), "text", "")
    return bool(text.strip())


def _text(part: Any) -> str:
    if part.type == "text":
        return str(part.text)
    if part.type == "resource":
        return str(getattr(part.resource, "text", f"[resource {part.resource.uri}]"))
    if part.type == "resource_link":
        title = part.title or part.name
        described = f": {part.description}" if part.description else ""
        return f"[{title}]({part.uri}){described}"
    return f"[{part.type}]"


def _is_lost(error: Exception) -> bool:
    """Whether an error means that the connection has ended."""
    return type(error).__name__ in ("ClosedResourceError", "BrokenResourceError", "EndOfStream", "ConnectError") or (
        "onnection closed" in str(error)
    )


def _innermost(error: BaseException) -> str:
    """The first error inside nested exception groups, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
