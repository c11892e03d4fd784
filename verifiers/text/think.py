"""Splitting of ``<think>`` reasoning from the answer, and the verifier that requires it."""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import verifier
from ..verdict import Verdict, passed, wrong


@lru_cache(maxsize=64)
def _tags(tag: str) -> re.Pattern[str]:
    """Return a pattern for opening and closing tags in any case, with spaces or attributes; not ``<tag/>``."""
    return re.compile(rf"<\s*+(?P<close>/\s*+)?{re.escape(tag)}(?:\s[^<>]*+)?(?<!/)>", re.IGNORECASE)


def closing_tags(text: str, most: int, tag: str = "think") -> list[int]:
    """Return the positions after the first ``most`` closing tags."""
    return list(islice((match.end() for match in _tags(tag).finditer(text) if match["close"]), most))


def split_reasoning(text: str, tag: str = "think") -> tuple[str, str]:
    """Return (reasoning, answer) of a completion.

    The opening tag may be missing, since many templates write it into the prompt. Everything up to the last closing tag
    is reasoning, and so is the content of a block that is never closed. Variant spellings (``<Think>``, ``</ think>``)
    count as tags, so that reasoning never becomes the answer by a misspelt tag.
    """
    opened, closed = None, None
    first = None
    for match in _tags(tag).finditer(text):
        if match["close"]:
            closed, opened = match, None
        else:
            first = first or match
            opened = opened or match
    head, tail = (text[: closed.start()], text[closed.end() :]) if closed else ("", text)
    if closed and first and first.start() < closed.start():
        head = head[: first.start()] + head[first.end() :]
    answer, unclosed = tail, ""
    if opened:
        answer, unclosed = text[closed.end() if closed else 0 : opened.start()], text[opened.end() :]
    reasoning = [part.strip() for part in (head, unclosed)]
    return "\n".join(filter(None, reasoning)), answer.strip()


@verifier("format")
@dataclass(frozen=True)
class Format:
    """The reply begins with one closed, non-empty ``<tag>`` block, followed by an answer.

    Tags count everywhere, also in a code fence, because readers of the reply split it at them.

    Attributes:
        tag: name of the block.
        required: if false, a reply without a block or with an empty block passes too.
        prefilled: the template already opened the block, so the reply contains only the closing tag.

    Example:
        {"verifier": "format", "completion": "<think>2 + 2 = 4</think>4", "answer": null} -> 1.0
        {"verifier": "format", "completion": "2 + 2 = 4</think>4", "answer": null, "params": {"prefilled": true}} -> 1.0
        {"verifier": "format", "completion": "<Think>2 + 2 = 4</Think>4", "answer": null} -> 0.0
    """

    tag: str = "think"
    required: bool = True
    prefilled: bool = False
    row_params: ClassVar[frozenset[str]] = frozenset({"tag", "required"})

    def __post_init__(self) -> None:
        if not isinstance(self.tag, str) or not re.fullmatch(r"[\w-]+", self.tag):
            raise ConfigError(
                f"verifier 'format': tag must be a name without brackets, like 'think', found {self.tag!r}"
            )

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, or ``wrong`` with the reason."""
        text = case.visible.strip()
        opening, closing = f"<{self.tag}>", f"</{self.tag}>"
        found = [match[0] for match in _tags(self.tag).finditer(text)]
        if not found and not self.required:
            return passed("no block, and none is required") if text else wrong("the reply is empty")
        odd = next((written for written in found if written not in (opening, closing)), None)
        if odd:
            return wrong(f"{odd:.40} is a misspelt tag; expected {opening} and {closing}")
        counts = (found.count(opening), found.count(closing))
        if counts != (0 if self.prefilled else 1, 1):
            expected = f"only {closing}" if self.prefilled else f"one {opening} block"
            return wrong(f"expected {expected}, found {counts[0]} opened and {counts[1]} closed")
        if not self.prefilled and not text.startswith(opening):
            return wrong(f"there is text before the {opening} block")
        reasoning, _, answer = text.removeprefix(opening).partition(closing)
        if self.required and not reasoning.strip():
            return wrong(f"the {opening} block is empty")
        if not answer.strip():
            return wrong(f"there is no answer after {closing}")
        return passed()
