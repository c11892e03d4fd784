"""Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...chats.schemas import Schemas
from ...service.engine.requests import Refusal
from ..call import Answer, Call, Choice, ToolUse, with_reasoning
from .contents import Conversations, content_of, joined
from .dialect import event, read_list, read_sampling, text_of

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large"}
_KINDS |= {429: "rate_limit_error", 503: "overloaded_error"}
_SIGNATURE = "lachesis"
"""Clients send thoughts back only with a signature; it is not checked, since known replies are found by their text."""


class Messages:
    """``POST /v1/messages``; reasoning is in ``thinking`` blocks."""

    paths: tuple[str, ...] = ("/v1/messages",)
    ping = event({"type": "ping"}, "ping")

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """As in ``Dialect``."""
        given = read_list(body, "messages")
        if not given:
            raise Refusal("messages: the conversation is empty", param="messages")
        system = text_of("system", body.get("system"))
        told: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        for number, message in enumerate(given):
            told += _told(f"messages.{number}", message)
        chosen, thinking = body.get("tool_choice"), body.get("thinking")
        called = not (isinstance(chosen, dict) and chosen.get("type") == "none")
        thinks = isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
        named = {name: body[name] for name in ("model", "max_tokens", "temperature", "top_p", "top_k") if name in body}
        return Call(
            read_sampling(named, stop=body.get("stop_sequences")),
            known.read(told),
            Schemas.interned(_tool(tool) for tool in (read_list(body, "tools", []) if called else ())),
            True if thinks else None,
            stream=body.get("stream") is True,
        )

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """As in ``Dialect``."""
        choice = answer.choices[0]
        usage = {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens}
        stop = {"stop_reason": _STOPS[choice.finish], "stop_sequence": None}
        return {**_head(answer), "content": _blocks(choice), **stop, "usage": usage}

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """As in ``Dialect``."""
        choice = answer.choices[0]
        begun = {"input_tokens": answer.prompt_tokens, "output_tokens": 0}
        message = {**_head(answer), "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
        yield _event("message_start", message=message)
        for index, block in enumerate(_blocks(choice)):
            empty, deltas = _pieces(block)
            yield _event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        stop = {"stop_reason": _STOPS[choice.finish], "stop_sequence": None}
        yield _event("message_delta", delta=stop, usage={"output_tokens": answer.completion_tokens})
        yield _event("message_stop")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """As in ``Dialect``."""
        kind = _KINDS.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "api_error")
        message = str(refusal)
        if refusal.code == "context_length_exceeded":  # programs look for these words before they compact
            message = f"prompt is too long: {message}"
        return {"type": "error", "error": {"type": kind, "message": message}}

    def error_event(self, refusal: Refusal) -> bytes:
        """As in ``Dialect``."""
        return event(self.error(refusal), "error")


def _told(place: str, message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message in OpenAI's form: results of tools are messages of their own."""
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system"):
        raise Refusal(f"{place}.role: a role is user or assistant, found {role!r:.40}", param=place)
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refusal(f"{place}.content: text or a list of blocks is needed, found {content!r:.80}", param=place)
    if role == "assistant":
        return [_said(place, blocks)]
    told: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            result = content_of(f"{place}.content", block.get("content"))
            told.append({"role": "tool", "tool_call_id": str(block.get("tool_use_id", "")), "content": result})
            continue
        content = content_of(f"{place}.content", [block])
        if told and told[-1]["role"] == role:
            told[-1]["content"] = joined(told[-1]["content"], content)
        else:
            told.append({"role": role, "content": content})
    return told or [{"role": role, "content": ""}]


def _said(place: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """A reply in OpenAI's form, its reasoning in front of its content."""
    thoughts, texts, calls = [], [], []
    for block in blocks:
        match block.get("type"):
            case "thinking":
                thoughts.append(str(block.get("thinking") or ""))
            case "redacted_thinking":
                pass
            case "tool_use":
                used = {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}
                calls.append({"id": block.get("id"), "type": "function", "function": used})
            case _:
                texts.append(text_of(f"{place}.content", [block]))
    message: dict[str, Any] = {"role": "assistant", "content": with_reasoning("".join(thoughts), "".join(texts))}
    return {**message, "tool_calls": calls} if calls else message


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form."""
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise Refusal(f"tools: a tool has a name and an input_schema, found {tool!r:.80}", param="tools")
    described = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
    return {"type": "function", "function": {"name": tool["name"], **described, "parameters": tool["input_schema"]}}


def _blocks(choice: Choice) -> list[dict[str, Any]]:
    thoughts = {"type": "thinking", "thinking": choice.reasoning, "signature": _SIGNATURE}
    blocks: list[dict[str, Any]] = [thoughts] if choice.reasoning else []
    if choice.content:
        blocks.append({"type": "text", "text": choice.content})
    for used in choice.calls:
        blocks.append({"type": "tool_use", "id": used.id, "name": used.name, "input": _input(used)})
    return blocks


def _input(used: ToolUse) -> dict[str, Any]:
    """The arguments as an object; an endpoint may have passed on what is none."""
    try:
        value = json.loads(used.arguments)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"arguments": used.arguments}


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and what is added to it."""
    match block["type"]:
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            return {**block, "thinking": "", "signature": ""}, [thought, signed]
        case "tool_use":
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "model": answer.model}


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)
