"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....verifiers.message import Message
from ...chats.schemas import Schemas
from ...service.engine.requests import ChatWanted, Refusal, read_wanted
from ..call import Answer, Call, Choice, with_reasoning
from .contents import Conversations, read_one
from .dialect import COMMENT, event, openai_error, read_list, read_sampling


class ChatCompletions:
    """``POST /v1/chat/completions``; reasoning is in ``reasoning_content``."""

    paths: tuple[str, ...] = ("/v1/chat/completions",)
    ping = COMMENT

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """As in ``Dialect``."""
        given = read_list(body, "messages")
        if not given:
            raise Refusal("messages: the conversation is empty", param="messages")
        options = body.get("stream_options")
        chosen = {
            name: body[name] for name in ("chat_template_kwargs", "reasoning") if isinstance(body.get(name), dict)
        }
        thinking = read_wanted(ChatWanted, {**chosen, "messages": [{}]}).thinking if chosen else None
        return Call(
            read_sampling(body),
            known.read(given, _read),
            Schemas.interned(() if body.get("tool_choice") == "none" else read_list(body, "tools", [])),
            False if body.get("reasoning_effort") == "none" else thinking,
            stream=body.get("stream") is True,
            usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """As in ``Dialect``."""
        choices = [
            {
                "index": index,
                "message": _message(choice),
                "finish_reason": choice.finish,
                "logprobs": _logprobs(choice) if call.wanted.logprobs is not False else None,
                **({"token_ids": choice.ids.tolist()} if call.wanted.return_token_ids else {}),
            }
            for index, choice in enumerate(answer.choices)
        ]
        ids = {"prompt_token_ids": answer.prompt_ids.tolist()} if call.wanted.return_token_ids else {}
        return {**_head("chat.completion", answer), "choices": choices, "usage": _usage(answer), **ids}

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """As in ``Dialect``."""
        head = _head("chat.completion.chunk", answer)

        def chunk(index: int, delta: dict[str, Any], finish: str | None = None, scored: Any = None) -> bytes:
            choice = {"index": index, "delta": delta, "finish_reason": finish}
            choice |= {"logprobs": scored} if scored else {}
            return event({**head, "choices": [choice], **({"usage": None} if call.usage else {})})

        for index, choice in enumerate(answer.choices):
            yield chunk(index, {"role": "assistant", "content": ""})
            if choice.reasoning:
                yield chunk(index, {"reasoning_content": choice.reasoning})
            if choice.content:
                scored = _logprobs(choice) if call.wanted.logprobs is not False else None
                yield chunk(index, {"content": choice.content}, scored=scored)
            for place, used in enumerate(choice.calls):
                begun = {"index": place, "id": used.id, "type": "function"}
                yield chunk(index, {"tool_calls": [{**begun, "function": {"name": used.name, "arguments": ""}}]})
                rest = {"index": place, "function": {"arguments": used.arguments}}
                yield chunk(index, {"tool_calls": [rest]})
            yield chunk(index, {}, choice.finish)
        if call.usage:
            yield event({**head, "choices": [], "usage": _usage(answer)})
        yield event("[DONE]")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """As in ``Dialect``."""
        return openai_error(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        """As in ``Dialect``."""
        return event(openai_error(refusal))


def _read(number: int, given: dict[str, Any]) -> Message:
    """A message with its reasoning, which is in a field of its own, in front of the content."""
    message = read_one(number, given)
    reasoning = given.get("reasoning_content") or given.get("reasoning")
    if message["role"] == "assistant" and isinstance(reasoning, str):
        return {**message, "content": with_reasoning(reasoning, message["content"])}
    return message


def _message(choice: Choice) -> dict[str, Any]:
    calls = [
        {"id": used.id, "type": "function", "function": {"name": used.name, "arguments": used.arguments}}
        for used in choice.calls
    ]
    message: dict[str, Any] = {"role": "assistant", "content": choice.content if choice.content or not calls else None}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if calls:
        message["tool_calls"] = calls
    return message


def _logprobs(choice: Choice) -> dict[str, Any]:
    entries = [
        {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
        for text, value in zip(choice.texts, choice.logprobs.tolist(), strict=True)
    ]
    return {"content": entries, "refusal": None}


def _head(kind: str, answer: Answer) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": answer.created, "model": answer.model}


def _usage(answer: Answer) -> dict[str, int]:
    read, written = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
