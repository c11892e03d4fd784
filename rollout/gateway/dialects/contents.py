"""Contents of messages, which are text, or text and images; each dialect writes images in its own form."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from typing import Any, cast

from ....verifiers.message import Message
from ...service.engine.requests import Refusal, clean, read_message

_REMEMBERED = 8
_MOST_REMEMBERED, _SIZE_OF_MESSAGE = 4 << 20, 512
"""Bytes of a conversation that are remembered, and what an empty message takes of them."""
_URLS = ("data:image/", "http://", "https://")


def content_of(place: str, content: Any) -> str | list[dict[str, Any]]:
    """A content as text; with images, as the parts that OpenAI's chat completions have.

    Raises:
        Refusal: a part is neither text nor an image.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = [_part(place, part) for part in (content if isinstance(content, list) else [content])]
    return parts if any(part["type"] == "image_url" for part in parts) else "".join(part["text"] for part in parts)


def joined(one: str | list[dict[str, Any]], other: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Two contents as one."""
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    return [*_parts(one), *_parts(other)]


def read_one(number: int, given: dict[str, Any]) -> Message:
    """A message in OpenAI's form, whose content may be that of ``content_of``; ``number`` is its place.

    A message with images has their URLs as ``images``, and everything as it was sent as ``parts``.

    Raises:
        Refusal: it is no message.
    """
    parts = content_of(f"messages.{number}.content", given["content"]) if _has_parts(given) else None
    if not isinstance(parts, list):
        return read_message(number, given)
    texts = [part for part in parts if part["type"] == "text"]
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    shown: dict[str, Any] = {**read_message(number, {**given, "content": texts})}
    return cast("Message", {**shown, "images": images, "parts": parts})


_Reader = Callable[[int, dict[str, Any]], Message]


class Conversations:
    """The latest conversations of an episode, as they were sent and as they were read.

    An agent sends its whole conversation with every call. What it sent before is not read again. Only the first 4 MiB
    of a conversation are remembered, which bounds the memory that an agent can take; what comes after them is read
    each time.
    """

    def __init__(self) -> None:
        self._latest: list[tuple[_Reader, list[bytes], list[Message]]] = []

    def read(self, given: list[dict[str, Any]], read: _Reader = read_one) -> tuple[Message, ...]:
        """The messages of a conversation, each read by ``read``.

        Raises:
            Refusal: one of them is none.
        """
        sent = _written(given)
        known: list[Message] = []
        others = []
        for one in self._latest:
            reader, before, told = one
            if sent[: len(before)] != before:
                others.append(one)
            elif reader is read and len(told) > len(known):
                known = told
        messages = known + [read(number, given[number]) for number in range(len(known), len(given))]
        self._latest = [(read, sent, messages[: len(sent)]), *others][:_REMEMBERED]
        return tuple(messages)


def _written(given: list[dict[str, Any]]) -> list[bytes]:
    """The first messages as bytes, which also tell apart 1, 1.0 and true, and the order of keys."""
    written, left = [], _MOST_REMEMBERED
    for message in given:
        try:
            one = marshal.dumps(message, 2)
        except ValueError:  # too deep
            break
        left -= len(one) + _SIZE_OF_MESSAGE
        if left < 0:
            break
        written.append(one)
    return written


def with_parts(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form, with its images where they were."""
    shown: dict[str, Any] = {name: value for name, value in message.items() if name not in ("images", "parts")}
    return {**shown, "content": message["parts"]} if "parts" in message else shown  # type: ignore[typeddict-item]


def without_parts(message: Message) -> Message:
    """A message with its text and its images, as ``Message`` has them."""
    if "parts" not in message:
        return message
    return cast("Message", {name: value for name, value in message.items() if name != "parts"})


def require_text(messages: Sequence[Message]) -> None:
    """Refuse images, for policies that read text only."""
    for message in messages:
        if message.get("images"):
            raise Refusal(
                f"images are not supported: this model reads text only, and a message ({message['role']}) has the "
                f"image {message['images'][0]:.40}; leave it out, or describe it in text",
                param="messages",
            )


def _has_parts(message: dict[str, Any]) -> bool:
    """Whether others than the model wrote the message, and not only as text."""
    content = message.get("content")
    return (
        message.get("role") in ("user", "tool")
        and isinstance(content, list)
        and not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content)
    )


def _part(place: str, part: Any) -> dict[str, Any]:
    """A part in OpenAI's form."""
    if not isinstance(part, dict):
        raise Refusal(f"{place}: a part is an object with text or an image, found {part!r:.80}", param=place)
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if image := _image(part):
        return {"type": "image_url", "image_url": image}
    kind = part.get("type")
    if kind in ("image", "image_url", "input_image"):
        raise Refusal(f"{place}: an image has a data: or http(s) URL, or base64 data, found {part!r:.80}", param=place)
    raise Refusal(f"{place}: a part is text or an image, found one of type {kind!r:.40}", param=place)


def _image(part: dict[str, Any]) -> dict[str, Any] | None:
    """What OpenAI's ``image_url`` has; None if the part has no image that can be read."""
    image: Any = None
    match part:
        case {"type": "image_url", "image_url": str(url)} | {"type": "image_url", "image_url": {"url": str(url)}}:
            image = part["image_url"] if isinstance(part["image_url"], dict) else {"url": url}
        case {"type": "input_image", "image_url": str(url)}:
            image = {"url": url} | ({"detail": part["detail"]} if part.get("detail") else {})
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            image = {"url": url}
        case {"type": "image", "source": {"type": "base64", "media_type": str(kind), "data": str(data)}}:
            image = {"url": f"data:{kind};base64,{data}"}
    return {**image, "url": clean(image["url"])} if image and image["url"].startswith(_URLS) else None


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
