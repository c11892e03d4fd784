"""The protocol of dialects, and how events are written to a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

from ...service.engine.requests import Refusal, Wanted, read_wanted
from ..call import Answer, Call
from .contents import Conversations


class Dialect(Protocol):
    """One API, spoken at one path."""

    paths: tuple[str, ...]
    """Where it is spoken."""
    ping: bytes
    """Keeps a stream open while the model thinks."""

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """The call that a request's JSON object makes; ``known`` reads its messages. Raises ``Refusal``."""
        ...

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """The JSON object of an answer."""
        ...

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """The answer as a stream of events."""
        ...

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """The JSON object of an error."""
        ...

    def error_event(self, refusal: Refusal) -> bytes:
        """The error in a stream that has begun."""
        ...


COMMENT = b": ping\n\n"
"""A comment, which every client of server-sent events ignores."""

_SAMPLING = ("model", "n", "temperature", "top_p", "top_k", "stop", "seed", "logprobs", "top_logprobs")
_LENGTHS = ("max_tokens", "max_completion_tokens", "stop_token_ids", "include_stop_str_in_output", "return_token_ids")
_REFUSED = ("presence_penalty", "frequency_penalty", "repetition_penalty", "min_p", "logit_bias", "echo", "suffix")
_SMALL = frozenset({int, float, bool, type(None)})
_FIELDS = (*_SAMPLING, *_LENGTHS, *_REFUSED, "response_format")


def event(data: Any, name: str = "") -> bytes:
    """One server-sent event with JSON in it."""
    text = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def read_sampling(body: Mapping[Any, Any], **changed: Any) -> Wanted:
    """How a request samples, from the fields that have OpenAI's names; ``changed`` has other dialects' fields."""
    fields = {name: body[name] for name in _FIELDS if name in body} | changed
    if all(type(value) in _SMALL or (type(value) is str and len(value) < 256) for value in fields.values()):
        return _remembered(tuple([(name, type(value), value) for name, value in fields.items()]))
    return read_wanted(Wanted, fields)


@lru_cache(maxsize=256)
def _remembered(fields: tuple[tuple[str, type, Any], ...]) -> Wanted:
    """How a request samples; the calls of an agent have the same fields, and nobody changes what is read of them."""
    return read_wanted(Wanted, {name: value for name, _, value in fields})


def read_list(body: dict[str, Any], name: str, default: list[Any] | None = None) -> list[dict[str, Any]]:
    """The list of objects in a field; raises ``Refusal``."""
    found = body.get(name)
    found = default if found is None else found
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Refusal(f"{name}: a list of objects is needed, found {found!r:.80}", param=name)
    return found


def text_of(place: str, content: Any) -> str:
    """The text of a content, which is text or a list of parts with text; raises ``Refusal`` for images and such."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise Refusal(f"{place}: text alone is taken here, found {content!r:.80}", param=place)
    return "".join(part["text"] for part in parts)


def openai_error(refusal: Refusal) -> dict[str, Any]:
    """An error as OpenAI writes it."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    return {"error": {"message": str(refusal), "type": kind, "param": refusal.param, "code": refusal.code}}
