"""Environments behind a resources server of NeMo Gym, over HTTP: its tools, its verification or its steps."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote
from weakref import WeakKeyDictionary

import aiohttp
from pydantic import Field

from ...verifiers.errors import DataError, EnvironmentFault, InfrastructureError
from ...verifiers.json_data.text import to_text
from ...verifiers.task import Task
from ...verifiers.tool_calling.declaration import declarations
from ...verifiers.trajectory import StopReason
from ..chat import Reply
from ..dataset import DatasetConfig, DatasetEnvironment
from ..episode import Episode
from ..metered_chat import LimitReached
from ..rows.column import Row
from ..tools import Tool
from .foreign import Foreign, ForeignConfig, as_number, as_text
from .responses import call_output, input_messages, output_items, response_of

MAX_BYTES = 16 << 20
"""Most bytes of one answer of a server."""


class NemoGym(DatasetEnvironment, Foreign):
    """Rows of NeMo Gym, played and verified with its resources server; NeMo Gym itself is not needed.

    The server is told every reply as items of OpenAI's Responses API, and its reward is the episode's.
    """

    class Config(DatasetConfig, ForeignConfig):
        """Where the rows and the server are."""

        url: str = Field(pattern="^https?://")
        """Address of the resources server, such as ``http://localhost:8000``."""
        style: Literal["verify", "gymnasium"] = "verify"
        """``verify``: the policy calls the server's tools, and ``/verify`` scores the end. ``gymnasium``: ``/step``
        answers and scores each reply; its rewards add up."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._talks: WeakKeyDictionary[Episode, _Talk] = WeakKeyDictionary()

    def task_of(self, row: Row) -> Task:
        """The row as a task; the whole row is sent to the server."""
        params = row.get("responses_create_params")
        if not isinstance(params, dict):
            raise DataError(f"no responses_create_params, as a row of NeMo Gym has; found {', '.join(row)!r:.120}")
        declarations(_functions(params))
        return Task(input_messages(params), info={"row": row}, id=str(row.get("uuid") or row.get("id") or ""))

    async def setup(self, episode: Episode) -> None:
        """Begin a session with the server."""
        row = episode.task.info["row"]
        talk = self._talks[episode] = _Talk(self.config.url, self.config.deadline, row["responses_create_params"])
        if self.config.style == "verify":
            await talk.post("seed_session", row)
        else:
            talk.reset = await talk.post("reset", row)

    def tools(self, episode: Episode) -> list[Any]:
        """The functions that the row declares; each is a route of the server."""
        talk = self._talks[episode]
        found = declarations(_functions(talk.params)).values()
        return [Tool(tool.name, None, tool.to_json(), self._route(talk, tool.name)) for tool in found]

    async def run(self, episode: Episode) -> None:
        """Show the row's input, then let the policy reply until it calls no more tools, or the server ends it."""
        talk, chat = self._talks[episode], episode.chat()
        for message in episode.task.messages:
            chat.add(**message)
        if observation := talk.reset.get("observation"):
            chat.add("user", as_text(observation, self.config.limits.result_characters))
        step = self._verified if self.config.style == "verify" else self._stepped
        while await step(episode, talk, await chat.reply()):
            pass

    async def finish(self, episode: Episode) -> None:
        """Ask the server for the reward, also after a limit ended the episode."""
        if self.config.style != "verify":
            self.reward_without_steps(episode)
            return
        talk = self._talks[episode]
        answer = await talk.post("verify", {**episode.task.info["row"], "response": talk.response()})
        if answer.get("_ng_failure_class"):
            raise InfrastructureError(f"{self.config.url} could not verify: {answer['_ng_failure_class']!s:.200}")
        if "reward" not in answer:
            raise EnvironmentFault(f"the answer of {self.config.url} to /verify has no reward: {answer!r:.200}")
        episode.reward("reward", as_number(answer["reward"], f"the reward of {self.config.url}"))
        parts = answer.get("reward_components")
        for name, value in parts.items() if isinstance(parts, dict) else ():
            episode.metric(f"reward/{name}", as_number(value, f"the part {name!r} of the reward"))

    async def close(self, episode: Episode) -> None:
        """End the session."""
        if talk := self._talks.pop(episode, None):
            try:
                if (talk.reset.get("info") or {}).get("supports_explicit_close") is True:
                    await talk.post("close", {})
            finally:
                await talk.session.close()

    async def _verified(self, episode: Episode, talk: "_Talk", reply: Reply) -> bool:
        """Carry out the reply's calls; return whether the policy goes on."""
        ids = talk.note(reply)
        if not reply.tool_calls:
            return False
        chat = episode.chat()
        before = len(chat.messages)
        try:
            await episode.call_tools(chat, reply.tool_calls)
        finally:  # also for the calls before one that a limit refuses
            results = [message["content"] for message in chat.messages[before:]]
            talk.items += [call_output(*pair) for pair in zip(ids, results, strict=False)]
        return True

    async def _stepped(self, episode: Episode, talk: "_Talk", reply: Reply) -> bool:
        """Send the reply as a step; return whether the policy goes on."""
        talk.items.clear()
        ids = talk.note(reply)
        body = {**episode.task.info["row"], "response": talk.response()}
        if (talk.reset.get("info") or {}).get("supports_step_idempotency") is True:
            body["_ng_step_request_id"] = f"step-{talk.turns}"
        answer = await talk.post("step", body)
        self.step_reward(episode, answer.get("reward", 0.0))
        if answer.get("terminated"):
            return False
        if answer.get("truncated"):
            raise LimitReached(StopReason.TURNS)
        chat, most, more = episode.chat(), self.config.limits.result_characters, False
        outputs = (answer.get("info") or {}).get("tool_outputs") or []
        told = {output.get("call_id"): output.get("output") for output in outputs if isinstance(output, dict)}
        for call, call_id in zip(reply.tool_calls, ids, strict=False):
            if call_id in told:
                chat.add("tool", as_text(told[call_id], most), name=call.name)
                more = True
        if answer.get("observation"):
            chat.add("user", as_text(answer["observation"], most))
        return more or bool(answer.get("observation"))

    def _route(self, talk: "_Talk", name: str) -> Callable[..., Awaitable[str]]:
        async def call(**arguments: Any) -> str:
            _, text = await talk.send(quote(name, safe=""), arguments)  # an error of a tool is shown to the policy
            return text

        return call


@dataclass
class _Talk:
    """The session of one episode with the server, and what the policy has said in it.

    Attributes:
        url: the server's address.
        deadline: seconds for each answer.
        params: the row's ``responses_create_params``.
    """

    url: str
    deadline: float
    params: dict[str, Any]

    def __post_init__(self) -> None:
        jar = aiohttp.CookieJar(unsafe=True)  # the cookie is the session, also where the host is an address
        self.session = aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=self.deadline))
        self.items: list[dict[str, Any]] = []
        self.reset: dict[str, Any] = {}
        self.turns = 0
        self._complete = True

    def note(self, reply: Reply) -> list[str]:
        """Add a reply to the items; return the ids of its calls."""
        items, ids = output_items(reply, self.turns)
        self.turns += 1
        self._complete = reply.stop != "length"
        self.items += items
        return ids

    def response(self) -> dict[str, Any]:
        """All items so far as a ``Response``."""
        return response_of(self.items, self.params, self._complete)

    async def post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        """The server's answer.

        Raises:
            InfrastructureError: the server cannot be reached, or gives no answer in time.
            EnvironmentFault: it refuses the request, or failed.
        """
        status, text = await self.send(route, body)
        if status >= 400:
            raise EnvironmentFault(f"{self.url}/{route} answered with {status}: {text[:300]}")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise EnvironmentFault(f"{self.url}/{route} must answer with an object, found {text[:200]!r}")
        return answer

    async def send(self, route: str, body: dict[str, Any]) -> tuple[int, str]:
        """The status and the text of an answer; raises ``InfrastructureError`` as ``post`` does."""
        headers = {"content-type": "application/json"}
        try:
            async with self.session.post(
                f"{self.url.rstrip('/')}/{route}", data=to_text(body).encode("utf-8", "replace"), headers=headers
            ) as answer:
                text = bytearray()
                async for chunk in answer.content.iter_chunked(1 << 16):
                    text += chunk
                    if len(text) > MAX_BYTES:
                        raise EnvironmentFault(f"{self.url}/{route} answered with more than {MAX_BYTES} bytes")
                return answer.status, text.decode("utf-8", "replace")
        except TimeoutError:
            raise InfrastructureError(f"{self.url}/{route} gave no answer within {self.deadline:g} s") from None
        except aiohttp.ClientError as error:
            raise InfrastructureError(f"cannot reach {self.url}/{route}: {error}") from None


def _functions(params: dict[str, Any]) -> list[Any]:
    """The declared functions; raises ``DataError`` for tools of another type, which the server does not carry out."""
    tools: Any = params.get("tools") or []
    for tool in tools if isinstance(tools, list) else [tools]:
        if not isinstance(tool, dict) or tool.get("type", "function") != "function":
            raise DataError(f"a tool must be of type function, found {tool!r:.120}")
    return list(tools)
