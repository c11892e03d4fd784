"""Chat messages in the OpenAI shape, as plain JSON objects."""

from typing import Any, Literal, NotRequired, TypedDict, get_args

from .errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: frozenset[str] = frozenset(get_args(Role))


class Message(TypedDict):
    """One message.

    ``content`` is the raw text. A tool result has ``name`` and ``tool_call_id``. Two more of its keys are for verifiers
    only: the parsed ``arguments`` of the call, and ``error``, which is true if the call failed. An assistant message
    that the environment wrote, such as an example, has ``given``, and does not count as a reply of the policy.
    ``images`` are URLs that go with the text; ``data:`` URLs are allowed.
    """

    role: Role
    content: str
    name: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    arguments: NotRequired[dict[str, Any]]
    error: NotRequired[bool]
    given: NotRequired[bool]
    images: NotRequired[list[str]]


_IMAGE = ("data:image/", "http://", "https://")

UNSEEN = frozenset({"arguments", "error", "given"})
"""Keys of a message that the policy never sees."""


def is_reply(message: Message) -> bool:
    """Whether the policy wrote ``message``."""
    return message["role"] == "assistant" and not message.get("given")


def as_messages(prompt: Any) -> list[Message]:
    """Return ``prompt``, which is text or a list of messages, as a list of valid messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list | tuple) or not prompt:
        raise DataError(
            f"a prompt is text or a non-empty list of messages, found {type(prompt).__name__}: {prompt!r:.80}"
        )
    return [check_message(message) for message in prompt]


def check_message(message: Any) -> Message:
    """Return ``message`` if it is valid; raise ``DataError`` if not."""
    if not isinstance(message, dict) or message.get("role") not in tuple(ROLES):  # the role may be unhashable
        raise DataError(f"a message has a role among {sorted(ROLES)}, found {message!r:.120}")
    if not isinstance(message.get("content"), str):
        raise DataError(
            f"a message's content is text, found {message.get('content')!r:.80} ({message['role']} message)"
        )
    images = message.get("images", [])
    if not isinstance(images, list) or not all(isinstance(url, str) and url.startswith(_IMAGE) for url in images):
        raise DataError(f"a message's images are a list of URLs (data:image/…, http(s)://…), found {images!r:.80}")
    return message  # type: ignore[return-value]
