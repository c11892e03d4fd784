"""Conversations with OpenAI-compatible endpoints: text only, for evaluation and data, never trained on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import aiohttp

from ...environments.chat import Reply, read_reply
from ...environments.thinking import Thinking
from ...verifiers.endpoint import Endpoint
from ...verifiers.errors import ConfigError, EngineError, RequestRefused, nearest
from ...verifiers.message import Message, Role, check_message
from ...verifiers.segment import Segment
from ..engines.engine import Sampling
from ..engines.reply_schema import schema_text

_OVERRIDES = ("temperature", "top_p", "top_k", "max_tokens", "schema")


class TextPolicy:
    """Opens chats with one model behind one or more URLs; as an async context manager it closes its connections.

    Args:
        url: of the API, or several for the same model; see ``Endpoint``.
        model: the name that the endpoint knows it by.
        sampling: how replies are drawn; ``stop_ids`` are ignored.
        fields: further fields of every request, such as ``min_p`` or ``stop``.
        headers: as in ``Endpoint``, and so are the other arguments.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        sampling: Sampling,
        *,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        key_variable: str = "OPENAI_API_KEY",
        deadline: float = 300.0,
        tries: int = 5,
        backoff: float = 0.5,
    ) -> None:
        self.endpoint = Endpoint(
            url, key_variable=key_variable, deadline=deadline, tries=tries, backoff=backoff, headers=headers
        )
        self.model = model
        self.sampling = sampling
        self.fields = dict(fields or {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> "TextChat":
        """A new conversation; thinking is switched by template variables, which vLLM and SGLang pass on.

        Raises:
            ConfigError: thinking has a budget, which needs tokens.
        """
        if thinking.budget:
            raise ConfigError("an endpoint cannot keep config.thinking.budget: set it to 0, or load the model")
        return TextChat(self, seed, tools, thinking=thinking)

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The endpoint's answer to one chat completion request.

        Raises:
            RequestRefused: the endpoint does not take the request.
            EngineError: it failed in every try; the episode is then unscored, never scored 0.
        """
        if self._session is None:
            self._session = self.endpoint.session()
        return await self.endpoint.complete(self._session, body)

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer as in ``ask``; that to a request which exceeds the context is an empty reply that was cut off."""
        try:
            return await self.ask(body)
        except RequestRefused as refused:
            if refused.overflow:
                return {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}
            raise


class TextChat:
    """One conversation as text; a reply's raw text is the same whether the endpoint parses replies or not."""

    def __init__(
        self,
        policy: TextPolicy,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]],
        history: Sequence[Message] = (),
        calls: int = 0,
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> None:
        self._thinking = thinking
        self._policy = policy
        self._seed = seed
        self._tools = list(tools)
        self._history = list(history)
        self._calls = calls
        self._forks = 0

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, a copy; an assistant's content is its raw text."""
        return list(self._history)

    def add(self, role: Role, content: str, **extra: Any) -> None:
        """Append a message."""
        self._history.append(check_message({"role": role, "content": content, **extra}))

    async def reply(self, **sampling: Any) -> Reply:
        """Ask the model for a reply; raises ``EngineError`` if the endpoint fails in every try."""
        self._calls += 1
        endpoint = self._policy.endpoint
        answer = await self._policy.complete(self._body(sampling))
        try:
            choice = answer["choices"][0]
            raw = raw_text(choice["message"], ended=choice.get("finish_reason") != "length")
            usage = answer.get("usage") or {}
            prompt, tokens = (int(usage.get(f"{kind}_tokens") or 0) for kind in ("prompt", "completion"))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            told = endpoint.quoted(json.dumps(answer))
            raise EngineError(f"not a chat completion ({error!r:.100}): {told}") from None
        self.add("assistant", raw)
        stop = "length" if choice.get("finish_reason") == "length" else "stop"
        return replace(read_reply(raw, stop, tokens), prompt_tokens=prompt)

    def fork(self) -> "TextChat":
        """A second conversation with the same history."""
        self._forks += 1
        return TextChat(
            self._policy, (*self._seed, self._forks), self._tools, self._history, self._calls, self._thinking
        )

    def rewrite(self, messages: Sequence[Message]) -> None:
        """Replace the history."""
        self._history = [check_message(message) for message in messages]

    def set_advantage(self, value: float) -> None:
        """Ignored: there are no tokens."""

    def segments(self) -> list[Segment]:
        """Always empty: an endpoint returns text, not the sampled tokens."""
        return []

    @property
    def breaks(self) -> int:
        """Always 0: there are no tokens."""
        return 0

    def _body(self, overrides: dict[str, Any]) -> dict[str, Any]:
        for name in overrides:
            if name not in _OVERRIDES:
                raise ConfigError(f"reply() has no setting {name!r}; {nearest(name, _OVERRIDES)}")
        overrides = dict(overrides)
        schema = overrides.pop("schema", None)
        default = self._policy.sampling
        body: dict[str, Any] = {
            "model": self._policy.model,
            "messages": wire_messages(self._history),
            "temperature": default.temperature,
            "top_p": default.top_p,
            "seed": _number((*self._seed, self._calls)),
            **self._policy.fields,
            **overrides,
            "max_tokens": min(default.max_tokens, overrides.get("max_tokens", default.max_tokens)),
        }
        if default.top_k:  # not OpenAI's, but vLLM's and others'
            body.setdefault("top_k", default.top_k)
        if self._tools:
            body["tools"] = self._tools
        if schema:
            about = {"name": "reply", "schema": json.loads(schema_text(schema)), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": about}
        if self._thinking.mode != "free":
            on = self._thinking.mode == "on"
            body["chat_template_kwargs"] = {"enable_thinking": on, "thinking": on}
        return body


def raw_text(message: dict[str, Any], ended: bool = True) -> str:
    """The model's own text, put together again from the parts into which the endpoint parsed it.

    Args:
        message: ``content`` and, if the endpoint parses them, ``reasoning_content`` and ``tool_calls``.
        ended: whether the model ended its turn; if not, reasoning without an answer stays open.
    """
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    content = message.get("content") or ""
    if not isinstance(content, str) or not isinstance(reasoning, str):
        raise TypeError("content and reasoning are text")
    calls = [_raw_call(call["function"]) for call in message.get("tool_calls") or ()]
    rest = "\n".join([content] * bool(content) + calls)
    if not reasoning:
        return rest
    closing = "\n</think>\n\n" if rest or ended else ""
    return f"<think>\n{reasoning}{closing}{rest}"


def _raw_call(function: dict[str, Any]) -> str:
    """One call as the model wrote it, its arguments unrepaired."""
    arguments = function.get("arguments") or "{}"
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return f'<tool_call>\n{{"name": {json.dumps(function["name"])}, "arguments": {text}}}\n</tool_call>'


def wire_messages(history: Sequence[Message]) -> list[dict[str, Any]]:
    """The history as endpoints expect it: no reasoning, calls as ``tool_calls``, results with the id of their call.

    A message with a call that could not be read goes as the text it was, and its results as user messages.
    """
    wire: list[dict[str, Any]] = []
    unanswered: list[str] = []
    for position, message in enumerate(history):
        role, content = message["role"], message["content"]
        if role == "assistant":
            wire.append(_wire_reply(content, position))
            unanswered = [call["id"] for call in wire[-1].get("tool_calls", ())]
        elif role == "tool" and unanswered:
            wire.append({"role": "tool", "content": _parts(message), "tool_call_id": unanswered.pop(0)})
        elif role == "tool":
            wire.append({"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"})
        else:
            wire.append({"role": role, "content": _parts(message)})
    return wire


def _parts(message: Message) -> str | list[dict[str, Any]]:
    """The content in the form that endpoints take: text alone, or text and images."""
    images = message.get("images")
    if not images:
        return message["content"]
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"type": "text", "text": message["content"]}, *shown]


def _wire_reply(raw: str, position: int) -> dict[str, Any]:
    said = read_reply(raw, stop="stop", tokens=0)
    if any(call.error for call in said.tool_calls):
        return {"role": "assistant", "content": raw}
    calls = [
        {
            "id": f"call_{position}_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for number, call in enumerate(said.tool_calls)
    ]
    return {"role": "assistant", "content": said.text} | ({"tool_calls": calls} if calls else {})


def _number(seed: tuple[int, ...]) -> int:
    """A hash of ``seed`` in 31 bits."""
    return int.from_bytes(hashlib.blake2b(repr(seed).encode(), digest_size=4).digest(), "big") >> 1
