"""The conversations of one episode, as another process holds them: whole lists of messages, which become chats here."""

import json
from dataclasses import dataclass, field
from typing import Any

from ....verifiers.errors import ConfigError, DataError
from ....verifiers.message import Message
from ....verifiers.text.think import split_reasoning
from ....verifiers.tool_calling.call import as_call
from ....verifiers.tool_calling.declaration import declarations
from ....verifiers.tool_calling.formats.hermes import FORMAT
from ...chat import Chat, Reply
from ...episode import Episode
from ...tools import Tool, ToolBox

Wire = dict[str, Any]
"""A message as the other process sends it: role, content, and calls or the id of one."""

_PASSED_ON = ("temperature", "top_p", "top_k", "max_tokens")
_TRANSPORT = {
    "extra_body",
    "extra_headers",
    "metadata",
    "model",
    "store",
    "stream",
    "stream_options",
    "timeout",
    "user",
}
_TOKENS = {"logprobs", "return_token_ids", "skip_special_tokens", "top_logprobs"}
_WITHOUT_EFFECT = {"n", "parallel_tool_calls", "seed", "tool_choice", *_TRANSPORT, *_TOKENS}


@dataclass
class Conversation:
    """A chat, and the messages that it holds in the form in which the other process sends them."""

    chat: Chat
    told: list[Wire] = field(default_factory=list)
    busy: bool = False


class Conversations:
    """Answers the other process's calls of the model, in chats that only grow.

    A call whose messages continue a conversation continues its tokens. If they begin like it but were edited, its chat
    is rewritten; other messages, or a second call at the same time, get a chat of their own. Both begin a new segment.

    Args:
        episode: gives the chat.
        apart: whether reasoning is sent apart from the content.
    """

    def __init__(self, episode: Episode, apart: bool) -> None:
        self._episode = episode
        self._apart = apart
        self._all: list[Conversation] = []
        self._own: list[Message] = []
        self._tools: list[Any] | None = None
        self._calls = 0

    async def answer(self, ask: dict[str, Any]) -> dict[str, Any]:
        """The reply to ``messages``, ``tools`` and ``sampling``, for the other process.

        Raises:
            ConfigError: the call asks for what is not possible here.
            DataError: a message is not one.
        """
        sampling = sampling_of(ask.get("sampling") or {})
        wire = [wire_of(message) for message in ask["messages"]]
        self._offer(ask.get("tools") or [])
        conversation = self._open(wire)
        conversation.busy = True
        try:
            reply = await conversation.chat.reply(**sampling)
        finally:
            conversation.busy = False
        said = self._said(reply)
        conversation.told = [*wire, wire_of({"role": "assistant", **said})]
        return said

    def _offer(self, tools: list[Any]) -> None:
        """Show the tools; the first call decides which an episode has."""
        if self._tools is None:
            self._tools = tools
            found = declarations(tools).values()
            self._episode.tools = ToolBox(Tool(tool.name, None, tool.to_json(), _nothing) for tool in found)
        elif tools != self._tools:
            raise ConfigError("the environment offers other tools within an episode, which is not supported")

    def _open(self, wire: list[Wire]) -> Conversation:
        """The conversation that holds ``wire``, ready for a reply."""
        if not self._all:
            self._all.append(Conversation(self._episode.chat()))
            self._own = self._all[0].chat.messages
            self._all[0].chat.rewrite(self._whole(wire))
            return self._all[0]
        idle = [one for one in self._all if not one.busy]
        continued = [one for one in idle if 0 < len(one.told) < len(wire) and wire[: len(one.told)] == one.told]
        if continued:
            longest = max(continued, key=lambda one: len(one.told))
            for message in messages_of(wire)[len(longest.told) :]:
                longest.chat.add(**message)
            return longest
        for one in idle:
            if one.told[:1] == wire[:1]:
                one.chat.rewrite(self._whole(wire))
                return one
        fork = Conversation(self._all[0].chat.fork())
        fork.chat.rewrite(self._whole(wire))
        self._all.append(fork)
        return fork

    def _whole(self, wire: list[Wire]) -> list[Message]:
        """The messages, with the system prompt of the run before theirs, in one message."""
        messages = messages_of(wire)
        if self._own and messages and messages[0]["role"] == "system":
            both = f"{self._own[0]['content']}\n\n{messages[0]['content']}"
            return [{"role": "system", "content": both}, *messages[1:]]
        return [*self._own, *messages]

    def _said(self, reply: Reply) -> dict[str, Any]:
        """The reply in parts; a call that cannot be read, or that nobody can answer, stays in the content."""
        self._calls += 1
        calls = reply.tool_calls if self._tools and not any(call.error for call in reply.tool_calls) else ()
        reasoning, content = reply.reasoning, reply.text
        if not calls:
            content = split_reasoning(reply.raw)[1] if self._apart and reasoning else reply.raw
        elif reasoning and not self._apart:
            content = f"<think>\n{reasoning}\n</think>\n\n{content}"
        return {
            "content": _clean(content),
            "reasoning": _clean(reasoning) if self._apart else "",
            "tool_calls": [
                {
                    "id": f"call_{self._calls}_{number}",
                    "name": call.name,
                    "arguments": _clean(json.dumps(call.arguments, ensure_ascii=False)),
                }
                for number, call in enumerate(calls)
            ],
            "finish": "length" if reply.stop == "length" else "stop",
            "prompt_tokens": reply.prompt_tokens,
            "tokens": reply.tokens,
        }


def sampling_of(given: dict[str, Any]) -> dict[str, Any]:
    """The sampling arguments that a chat takes.

    Raises:
        ConfigError: the environment needs one that cannot be kept here.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if "max_completion_tokens" in given:
        given["max_tokens"] = given.pop("max_completion_tokens")
    if given.get("n", 1) != 1:
        raise ConfigError(f"the environment asks for n = {given['n']!r} replies at once; only 1 is supported")
    if unknown := sorted(given.keys() - {*_PASSED_ON} - _WITHOUT_EFFECT):
        raise ConfigError(f"the environment sets the sampling argument {unknown[0]!r}, which is not supported")
    return {name: given[name] for name in _PASSED_ON if name in given}


def wire_of(message: Any) -> Wire:
    """A message with what counts when two are compared: no reasoning, and no empty parts.

    Raises:
        DataError: it is not a message of text, images, calls and their results.
    """
    if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
        raise DataError(f"the environment sent what is no message of a chat: {message!r:.200}")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts, images = [], []
    for part in parts:
        if not isinstance(part, dict):
            raise DataError(f"the environment sent a message with a part that is no object: {part!r:.200}")
        kind = part.get("type", "text")
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            images.append(part["image_url"].get("url"))
        else:
            raise DataError(f"the environment sent a message with a part that is no text or image: {part!r:.200}")
    made: Wire = {"role": message["role"], "content": _clean("\n".join(texts))}
    calls = message.get("tool_calls") or []
    if calls:
        made["tool_calls"] = [_call_of(call) for call in calls]
    if message.get("tool_call_id"):
        made["tool_call_id"] = str(message["tool_call_id"])
    return {**made, "images": images} if images else made


def messages_of(wire: list[Wire]) -> list[Message]:
    """The messages as a chat takes them, with calls as Hermes writes them and the name of the tool at its result."""
    names: dict[str, str] = {}
    messages: list[Message] = []
    for message in wire:
        made: dict[str, Any] = {"role": message["role"], "content": message["content"]}
        if made["role"] == "developer":
            made["role"] = "system"
        if images := message.get("images"):
            made["images"] = images
        calls = message.get("tool_calls", ())
        names |= {call["id"]: call["name"] for call in calls}
        if calls:
            read = [as_call({"name": call["name"], "arguments": call["arguments"]}) for call in calls]
            written = FORMAT.write_calls([call.repaired or call for call in read])
            made["content"] = "\n".join(filter(None, [made["content"], written]))
        if name := names.get(message.get("tool_call_id", "")):
            made["name"] = name
        messages.append(made)  # type: ignore[arg-type]
    return messages


def _call_of(call: Any) -> dict[str, str]:
    function = call.get("function", call) if isinstance(call, dict) else {}
    name, arguments = function.get("name"), function.get("arguments", "{}")
    if not isinstance(name, str):
        raise DataError(f"the environment sent a call without a name: {call!r:.200}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": str(call.get("id")), "name": name, "arguments": text}


def _clean(text: str) -> str:
    """Text that UTF-8 can hold, since a call's arguments may spell lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _nothing(**_: Any) -> str:
    """Stands for a tool that the other process carries out."""
    return ""
