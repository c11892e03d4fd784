"""A call of an agent and the answer to it, in one form for all dialects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...verifiers.message import Message
from ...verifiers.text.think import split_reasoning
from ..chats.schemas import Schemas
from ..engines.engine import Ids
from ..service.engine.requests import Wanted

if TYPE_CHECKING:
    from .tree import Node


@dataclass(frozen=True, eq=False)
class Call:
    """What an agent asks.

    Attributes:
        wanted: how to sample.
        messages: the conversation; an assistant's content has its reasoning inside ``<think>``. Empty if there are
            ``prompts``.
        tools: JSON schemas in OpenAI's shape; the same object for calls that have the same ones, unless they are long.
        thinking: whether the template is told to have reasoning; None to leave that to it.
        prompts: prompts of the dialects without messages, each as text or as ids.
        stream: whether the answer is a stream of events.
        usage: whether a stream ends with the number of tokens.
        instructed: whether the first message is the system prompt of this call alone.
        previous: id of the answer whose conversation the messages continue; empty if they are the whole conversation.
        kept: whether a later call may name the answer as ``previous``.
        digest: of the request; equal requests have equal digests.
        retried: whether the client says that it sends this request again.
        size: bytes of the request's body.
    """

    wanted: Wanted
    messages: tuple[Message, ...] = ()
    tools: Schemas = field(default_factory=Schemas)
    thinking: bool | None = None
    prompts: tuple[str | list[int], ...] = ()
    stream: bool = False
    usage: bool = False
    instructed: bool = False
    previous: str = ""
    kept: bool = False
    digest: bytes = b""
    retried: bool = False
    size: int = 0


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool; ``arguments`` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, eq=False)
class Choice:
    """One reply.

    Attributes:
        content: the answer, without reasoning and calls.
        reasoning: the text inside ``<think>``.
        calls: of tools.
        finish: ``stop``, ``length`` or ``tool_calls``.
        ids: int32, the sampled ids; empty if the model is behind a URL.
        logprobs: float32, one for each id.
        texts: the text of each id, if the request asks for logprobs.
        node: the reply in the tree of conversations.
        prompt: number of the prompt that it continues.
        counted: tokens of the prompt and of the reply, as an endpoint counts them.
    """

    content: str
    reasoning: str = ""
    calls: tuple[ToolUse, ...] = ()
    finish: str = "stop"
    ids: Ids = field(default_factory=lambda: np.empty(0, np.int32))
    logprobs: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    texts: list[str] = field(default_factory=list)
    node: Node | None = None
    prompt: int = 0
    counted: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a call.

    Attributes:
        id: names it; hexadecimal.
        created: seconds since 1970.
        model: the name that the agent knows the model by.
        choices: the replies: ``n`` for each prompt.
        prompt_tokens: of all prompts.
        completion_tokens: of all choices.
        prompt_ids: int32, the ids of the first prompt; empty if the model is behind a URL.
    """

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    prompt_ids: Ids


def with_reasoning(reasoning: str, content: str) -> str:
    """An assistant's content with its reasoning inside ``<think>``."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning.strip() else content


def canonical(message: Message) -> str:
    """What tells a message apart from others.

    White space around an assistant's texts, the ids of calls and the spelling of their arguments are left out: many
    programs change them when they send a reply back, and none of them means to edit it.
    """
    if message["role"] != "assistant":
        shown = [message["role"], message["content"], message.get("name")]
        return json.dumps([*shown, message["parts"]] if "parts" in message else shown)  # type: ignore[typeddict-item]
    reasoning, answer = split_reasoning(message["content"])
    calls = [call["function"] for call in message.get("tool_calls", ())]
    used = [[function["name"], _sorted(function["arguments"])] for function in calls]
    return json.dumps(["assistant", reasoning, answer, used])


def as_message(choice: Choice) -> Message:
    """A reply as an assistant's message in OpenAI's form."""
    message: Message = {"role": "assistant", "content": with_reasoning(choice.reasoning, choice.content)}
    if choice.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.calls
        ]
    return message


def _sorted(arguments: Any) -> str:
    """The arguments, which may be the text of a JSON object, in one spelling."""
    try:
        return json.dumps(json.loads(arguments) if isinstance(arguments, str) else arguments, sort_keys=True)
    except (ValueError, RecursionError):
        return str(arguments)
