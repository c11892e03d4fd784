"""Chat messages in the OpenAI shape, as plain JSON objects."""

from typing import Any, Literal, NotRequired, TypedDict, get_args

from .errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: frozenset[str] = frozenset(get_args(Role))


class Message(TypedDict):
    """One message.

    ``content`` is the raw text. Tool results carry ``name`` and ``tool_call_id``; and for verifiers, never shown to a
    policy, the call's ``arguments`` as they were read, and ``error``, true where it failed. An assistant's message that
    the environment wrote (an example, say) is ``given``: no reply of the policy's. ``images`` are URLs (``data:`` ones,
    too) that go with the text.
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
"""Keys of a message that no policy is shown."""


def is_reply(message: Message) -> bool:
    """Whether the policy said it."""
    return message["role"] == "assistant" and not message.get("given")


def as_messages(prompt: Any) -> list[Message]:
    """Return ``prompt`` (text, or a list of messages) as a checked list of messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list | tuple) or not prompt:
        raise DataError(
            f"a prompt is text or a non-empty list of messages, found {type(prompt).__name__}: {prompt!r:.80}"
        )
    return [check_message(message) for message in prompt]


def check_message(message: Any) -> Message:
    """Return ``message`` if it is one, else raise ``DataError``."""
    if not isinstance(message, dict) or message.get("role") not in tuple(ROLES):  # a role may be of any type
        raise DataError(f"a message has a role among {sorted(ROLES)}, found {message!r:.120}")
    if not isinstance(message.get("content"), str):
        raise DataError(
            f"a message's content is text, found {message.get('content')!r:.80} ({message['role']} message)"
        )
    images = message.get("images", [])
    if not isinstance(images, list) or not all(isinstance(url, str) and url.startswith(_IMAGE) for url in images):
        raise DataError(f"a message's images are a list of URLs (data:image/…, http(s)://…), found {images!r:.80}")
    return message  # type: ignore[return-value]
