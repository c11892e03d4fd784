"""A task: the prompt, the expected answer, and what the verifiers need to judge it."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .message import Message, as_messages
from .rows.jsonl import check_json


@dataclass(frozen=True)
class Task:
    """A task for the model. It is JSON only, and the hash of its content is its identity.

    Attributes:
        prompt: text (one user message) or a list of messages.
        answer: the expected answer; never shown to the model.
        info: anything else that the environment or a verifier needs; never shown to the model.
        id: a name for people; by default the hash of the content.
        verify: verifiers of this task alone, which judge in addition to the environment's rubric: objects {"verifier",
            "answer", "params", "weight"}, of which only the first key is required; see ``rows/row.py``.

    Raises:
        DataError: the prompt is neither text nor messages, or something in it is not JSON.
    """

    prompt: str | list[Message]
    answer: Any = None
    info: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    verify: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        as_messages(self.prompt)
        content = check_json([self.prompt, self.answer, self.info, list(self.verify)], "a task")
        object.__setattr__(self, "_hash", hashlib.blake2b(content.encode(), digest_size=8).hexdigest())
        if not self.id:
            object.__setattr__(self, "id", self.hash)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that identify the content; ``id`` does not count."""
        return self._hash  # type: ignore[attr-defined, no-any-return]

    @cached_property
    def messages(self) -> list[Message]:
        """The prompt as messages."""
        return as_messages(self.prompt)

    def to_json(self) -> dict[str, Any]:
        """The task as a JSON object."""
        return {
            "prompt": self.prompt,
            "answer": self.answer,
            "info": self.info,
            "id": self.id,
            "verify": list(self.verify),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Task":
        """The task that ``to_json`` wrote."""
        return cls(row["prompt"], row["answer"], row["info"], row["id"], tuple(row["verify"]))
