"""Environments behind an OpenEnv server: one WebSocket is one episode, and replies are actions or calls of tools."""

import asyncio
import json
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from pydantic import Field

from ...verifiers.errors import ConfigError, EnvironmentFault, InfrastructureError
from ...verifiers.json_data.text import NotJson, read_json
from ..episode import Episode
from ..rows.column import column
from ..tools import Tool
from .foreign import Game, GameConfig, as_text

MAX_BYTES = 16 << 20
"""Most bytes of one message of a server."""
_BACKOFF = 0.5


class OpenEnv(Game):
    """An environment of OpenEnv, reached through the WebSocket of its server; OpenEnv itself is not needed.

    Each task is a seed, which ``reset`` is given. The reward is the sum of the rewards of all steps.
    """

    class Config(GameConfig):
        """Where the server is, and how replies become actions."""

        url: str = Field(pattern="^(https?|wss?)://")
        """Address of the server, such as ``http://localhost:8000``."""
        action: str = "message"
        """The field of an action that takes the reply; if empty, the reply is the whole action as a JSON object."""
        fields: dict[str, Any] = Field(default_factory=dict)
        """Further fields of every action."""
        mcp: bool = False
        """Whether the policy acts by calling the server's MCP tools; the episode ends at a reply without a call."""
        observation: str = ""
        """The field of an observation that is shown, such as ``prompt`` or ``messages.0.content``; if empty, all."""
        reset: dict[str, Any] = Field(default_factory=dict)
        """Further arguments of ``reset``, beside the seed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._sockets: WeakKeyDictionary[Episode, Socket] = WeakKeyDictionary()
        self._tools: WeakKeyDictionary[Episode, list[Tool]] = WeakKeyDictionary()

    @property
    def title(self) -> str:
        """The server's address."""
        return str(self.config.url)

    async def setup(self, episode: Episode) -> None:
        """Open the WebSocket and, if the policy calls tools, ask which there are."""
        socket = self._sockets[episode] = Socket(self.config.url, self.config.deadline)
        await socket.open()
        if self.config.mcp:
            self._tools[episode] = await self._listed(episode, socket)

    def tools(self, episode: Episode) -> list[Any]:
        """The server's tools."""
        return [*self._tools.get(episode, ())]

    async def run(self, episode: Episode) -> None:
        """Show the first observation, then reply and step until the environment is done."""
        socket, chat = self._sockets[episode], episode.chat()
        data = {**self.config.reset, "seed": episode.task.info["seed"]}
        observed = await socket.ask("reset", data)
        chat.add("user", f"{self.config.instruction}\n\n{self._shown(observed)}".strip())
        while not socket.done:
            reply = await chat.reply()
            if self.config.mcp:
                if not reply.tool_calls:
                    return
                await episode.call_tools(chat, reply.tool_calls)
                if socket.fault:  # the tool box has told the policy, but it is not the policy's fault
                    raise socket.fault
                continue
            action, problem = self._action(reply.raw)
            if action is not None:
                try:
                    observed = await self._step(episode, socket, action)
                except _Invalid as invalid:
                    if self.config.action:
                        raise ConfigError(f"{invalid}; check config.action and config.fields") from None
                    problem = f"Error: {invalid}"
            if problem or not socket.done:
                chat.add("user", problem or self._shown(observed))

    async def close(self, episode: Episode) -> None:
        """Close the WebSocket."""
        if socket := self._sockets.pop(episode, None):
            await socket.close()

    def _shown(self, observed: dict[str, Any]) -> str:
        value = column(observed, self.config.observation) if self.config.observation else observed
        return as_text(value, self.config.limits.result_characters)

    def _action(self, reply: str) -> tuple[dict[str, Any] | None, str]:
        """The action in a reply, or what to tell the policy if there is none."""
        text, problem = self.action_in(reply)
        if text is None:
            return None, problem
        if self.config.action:
            return {**self.config.fields, self.config.action: text}, ""
        try:
            action = read_json(text)
        except NotJson as error:
            return None, f"Error: the reply must be one JSON object: {error}"
        if not isinstance(action, dict):
            return None, "Error: the reply must be one JSON object."
        return {**action, **self.config.fields}, ""

    async def _step(self, episode: Episode, socket: "Socket", action: dict[str, Any]) -> dict[str, Any]:
        try:
            observed = await socket.ask("step", action)
            self.step_reward(episode, 0.0 if socket.reward is None else socket.reward)  # a reward may be missing
        except EnvironmentFault as fault:
            socket.fault = fault
            raise
        return observed

    async def _listed(self, episode: Episode, socket: "Socket") -> list[Tool]:
        """The server's tools; each is called by a step."""
        listed = (await socket.ask("step", {"type": "list_tools"})).get("tools")
        try:
            return [self._tool(episode, socket, tool) for tool in listed or ()]
        except (KeyError, TypeError) as error:
            raise EnvironmentFault(
                f"{self.config.url} lists tools in another form ({error!r}): {listed!r:.200}"
            ) from None

    def _tool(self, episode: Episode, socket: "Socket", tool: dict[str, Any]) -> Tool:
        async def call(**arguments: Any) -> str:
            action = {"type": "call_tool", "tool_name": tool["name"], "arguments": arguments}
            observed = await self._step(episode, socket, action)
            if problem := observed.get("error"):
                raise ToolFailed(as_text(problem, self.config.limits.result_characters))
            return as_text(_result(observed.get("result")), self.config.limits.result_characters)

        described = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
        return Tool(tool["name"], None, {"type": "function", "function": described}, call)


class ToolFailed(Exception):
    """Raised with the error message of a server's tool."""


class _Invalid(Exception):
    """Raised when the server finds a message invalid."""


class Socket:
    """A WebSocket to a server.

    Args:
        url: the server's address.
        deadline: seconds for connecting, and for each answer.

    Attributes:
        reward: of the latest observation.
        done: whether the episode has ended.
        fault: the latest fault of a step, which a tool's result may have hidden.
    """

    def __init__(self, url: str, deadline: float) -> None:
        self.reward: Any = None
        self.done = False
        self.fault: EnvironmentFault | None = None
        self._url = f"{url.rstrip('/').removesuffix('/ws')}/ws".replace("http", "ws", 1)
        self._deadline = deadline
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self) -> None:
        """Connect; a server that has no room is asked again until the deadline.

        Raises:
            InfrastructureError: it cannot be reached, or had no room in time.
        """
        self._session = aiohttp.ClientSession()
        why = "no answer"
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    try:
                        self._socket = await self._session.ws_connect(self._url, max_msg_size=MAX_BYTES)
                        if not (why := await self._refusal()):
                            return
                    except aiohttp.ClientError as error:
                        raise InfrastructureError(f"cannot reach the OpenEnv server {self._url}: {error}") from None
                    await asyncio.sleep(_BACKOFF)
        except TimeoutError:
            raise InfrastructureError(f"no session of {self._url} within {self._deadline:g} s: {why}") from None

    async def _refusal(self) -> str:
        """Why the server has no room; empty if it has. It tells of itself, so its state is asked for."""
        assert self._socket is not None
        with suppress(aiohttp.ClientError, ConnectionError):  # it may have closed the connection after its message
            await self._socket.send_json({"type": "state"})
        answer = await self._received()
        if answer.get("type") == "error" and answer["data"].get("code") == "CAPACITY_REACHED":
            await self._socket.close()
            return str(answer["data"].get("message"))[:200]
        return ""

    async def ask(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """The observation that answers a message of ``kind``.

        Raises:
            InfrastructureError: the connection is lost, or there is no answer in time.
            EnvironmentFault: the environment raised, or its answer has another form.
        """
        assert self._socket is not None
        try:
            async with asyncio.timeout(self._deadline):
                await self._socket.send_json({"type": kind, "data": data})
                answer = await self._received()
        except TimeoutError:
            raise InfrastructureError(f"{self._url} gave no answer to {kind} within {self._deadline:g} s") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise InfrastructureError(f"{self._url} was lost: {error}") from None
        told = answer.get("data")
        if not isinstance(told, dict):
            raise EnvironmentFault(f"{self._url} answered {kind} in another form: {answer!r:.200}")
        if answer.get("type") == "error":
            message = f"{self._url} answered {kind} with {told.get('code')}: {told.get('message')!s:.300}"
            if told.get("code") == "VALIDATION_ERROR":
                raise _Invalid(f"{message} {told.get('errors', '')!s:.500}")
            raise EnvironmentFault(message)
        observed = told.get("observation")
        if answer.get("type") != "observation" or not isinstance(observed, dict):
            raise EnvironmentFault(f"{self._url} answered {kind} in another form: {answer!r:.200}")
        self.reward, self.done = told.get("reward"), bool(told.get("done"))
        return observed

    async def _received(self) -> dict[str, Any]:
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise InfrastructureError(f"{self._url} closed the connection ({message.type.name}, {message.data!s:.100})")
        try:
            answer = json.loads(message.data)
        except (ValueError, RecursionError) as error:
            raise EnvironmentFault(f"{self._url} sent no JSON: {error!s:.200}") from None
        return answer if isinstance(answer, dict) else {"data": answer}

    async def close(self) -> None:
        """Close the connection, which ends the episode on the server."""
        if self._socket is not None and not self._socket.closed:
            with suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
                async with asyncio.timeout(self._deadline):
                    await self._socket.send_json({"type": "close"})
                    await self._socket.close()
        if self._session is not None:
            await self._session.close()


def _result(value: Any) -> Any:
    """The text of an MCP result, or the result as it is."""
    if not isinstance(value, dict):
        return value
    parts = value.get("content")
    if isinstance(parts, list) and parts and all(isinstance(part, dict) and "text" in part for part in parts):
        return "\n".join(str(part["text"]) for part in parts)
    return value.get("structured_content") or value
