"""OpenAI's Responses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from ...chats.schemas import Schemas
from ...service.engine.requests import Refusal
from ..call import Answer, Call, Choice, with_reasoning
from .contents import Conversations, content_of
from .dialect import COMMENT, event, openai_error, read_list, read_sampling, text_of

_SEALED = "lachesis:"
"""What the encrypted content of a reasoning item begins with; it is only encoded, so that clients which keep nothing
else of an item send the reasoning back."""


class Responses:
    """``POST /v1/responses``; reasoning is in items of its own. Tools that OpenAI would host are left out."""

    paths: tuple[str, ...] = ("/v1/responses",)
    ping = COMMENT

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """As in ``Dialect``."""
        given = body.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else read_list(body, "input")
        instructions = text_of("instructions", body.get("instructions"))
        told: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
        told += _told(items)
        if not items:
            raise Refusal("input: the conversation is empty", param="input")
        tools = [_tool(tool) for tool in read_list(body, "tools", []) if tool.get("type") == "function"]
        effort = body["reasoning"].get("effort") if isinstance(body.get("reasoning"), dict) else None
        named = {name: body[name] for name in ("model", "temperature", "top_p", "top_logprobs") if name in body}
        previous = body.get("previous_response_id")
        return Call(
            read_sampling(named, max_tokens=body.get("max_output_tokens"), response_format=_format(body.get("text"))),
            known.read(told),
            Schemas.interned(() if body.get("tool_choice") == "none" else tools),
            False if effort == "none" else None,
            stream=body.get("stream") is True,
            instructed=bool(instructions),
            previous=str(previous).removeprefix("resp_") if previous is not None else "",
            kept=body.get("store") is not False,
        )

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """As in ``Dialect``."""
        choice = answer.choices[0]
        cut = choice.finish == "length"
        return {
            **_head(answer, "incomplete" if cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": _items(answer, choice),
            "usage": {
                "input_tokens": answer.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.prompt_tokens + answer.completion_tokens,
            },
        }

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """As in ``Dialect``."""
        whole = self.write(call, answer)
        begun = {**_head(answer, "in_progress"), "incomplete_details": None, "output": [], "usage": None}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        events.append({"type": "response.in_progress", "response": begun})
        for index, item in enumerate(whole["output"]):
            events += _item_events(index, item)
        events.append({"type": f"response.{whole['status']}", "response": whole})
        for number, each in enumerate(events):
            yield event({**each, "sequence_number": number}, each["type"])

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """As in ``Dialect``."""
        return openai_error(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        """As in ``Dialect``."""
        failed = {"code": refusal.code, "message": str(refusal), "param": refusal.param, "sequence_number": 0}
        return event({"type": "error", **failed}, "error")


def _told(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as messages in OpenAI's older form; the items of one reply become one message."""
    told: list[dict[str, Any]] = []

    def reply() -> dict[str, Any]:
        if not told or told[-1]["role"] != "assistant":
            told.append({"role": "assistant", "content": ""})
        return told[-1]

    for number, item in enumerate(items):
        place = f"input.{number}"
        match item.get("type", "message"):
            case "message" if item.get("role") == "assistant":
                reply()["content"] += text_of(place, item.get("content"))
            case "message":
                told.append({"role": item.get("role"), "content": content_of(place, item.get("content"))})
            case "reasoning":
                said = reply()
                said["content"] = with_reasoning(_reasoning(item), said["content"])
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments", "{}")}
                used = {"id": item.get("call_id"), "type": "function", "function": function}
                reply().setdefault("tool_calls", []).append(used)
            case "function_call_output":
                result = content_of(place, item.get("output"))
                told.append({"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": result})
            case other:
                raise Refusal(f"{place}.type: items of type {other!r:.40} are not supported here", param=place)
    return told


def _reasoning(item: dict[str, Any]) -> str:
    """The text of a reasoning item, wherever the client kept it."""
    for name in ("content", "summary"):
        if isinstance(item.get(name), list) and item[name]:
            return text_of(f"reasoning.{name}", item[name])
    sealed = item.get("encrypted_content")
    if isinstance(sealed, str) and sealed.startswith(_SEALED):
        try:
            return base64.b64decode(sealed.removeprefix(_SEALED), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refusal("reasoning.encrypted_content: it is damaged", param="input") from None
    return ""


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's older form."""
    if not isinstance(tool.get("name"), str):
        raise Refusal(f"tools: a tool has a name, found {tool!r:.80}", param="tools")
    function = {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _format(text: Any) -> dict[str, Any] | None:
    """The form of the text as ``response_format`` has it."""
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict):
        return None
    return {**form, "json_schema": {"schema": form.get("schema")}} if form.get("type") == "json_schema" else form


def _items(answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    status = "incomplete" if choice.finish == "length" else "completed"
    if choice.reasoning:
        thought = {"type": "reasoning_text", "text": choice.reasoning}
        sealed = _SEALED + base64.b64encode(choice.reasoning.encode("utf-8", "replace")).decode()
        items.append({"type": "reasoning", "summary": [], "content": [thought], "encrypted_content": sealed})
    if choice.content or not choice.calls:
        said = {"type": "output_text", "text": choice.content, "annotations": [], "logprobs": []}
        items.append({"type": "message", "role": "assistant", "content": [said], "status": status})
    for used in choice.calls:
        called = {"call_id": used.id, "name": used.name, "arguments": used.arguments}
        items.append({"type": "function_call", **called, "status": status})
    kinds = {"reasoning": "rs", "message": "msg", "function_call": "fc"}
    return [{"id": f"{kinds[item['type']]}_{answer.id}{place}", **item} for place, item in enumerate(items)]


def _item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": index}
    within = {**at, "content_index": 0}
    begun: dict[str, Any] = dict(item)
    begun |= {"status": "in_progress"} if "status" in item else {}
    events: list[dict[str, Any]] = []
    match item["type"]:
        case "reasoning":
            begun |= {"content": []}
            text = item["content"][0]["text"]
            events.append({"type": "response.reasoning_text.delta", **within, "delta": text})
            events.append({"type": "response.reasoning_text.done", **within, "text": text})
        case "message":
            begun |= {"content": []}
            (part,) = item["content"]
            empty = {**part, "text": ""}
            events.append({"type": "response.content_part.added", **within, "part": empty})
            if part["text"]:
                events.append({"type": "response.output_text.delta", **within, "delta": part["text"], "logprobs": []})
            events.append({"type": "response.output_text.done", **within, "text": part["text"], "logprobs": []})
            events.append({"type": "response.content_part.done", **within, "part": part})
        case _:
            begun |= {"arguments": ""}
            written, name = item["arguments"], item["name"]
            events.append({"type": "response.function_call_arguments.delta", **at, "delta": written})
            events.append({"type": "response.function_call_arguments.done", **at, "arguments": written, "name": name})
    added = {"type": "response.output_item.added", "output_index": index, "item": begun}
    return [added, *events, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _head(answer: Answer, status: str) -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    head = {"id": f"resp_{answer.id}", "object": "response", "created_at": answer.created, "status": status}
    return {**head, "error": None, "model": answer.model, "temperature": 1.0, "top_p": 1.0, **fixed}
