"""``<think>`` reasoning: how it is told from the answer, and the verifier that asks for it."""

import re
from dataclasses import dataclass

from .case import Case
from .registry import verifier
from .verdict import Verdict, passed, wrong


def split_reasoning(text: str, tag: str = "think") -> tuple[str, str]:
    """Return (reasoning, answer) of a completion.

    The opening tag may be missing (many templates write it into the prompt). All up to the last closing tag is
    reasoning, and so is what stands in a block that is never closed: neither holds the answer.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    head, _, tail = text.rpartition(closing)
    answer, _, unclosed = tail.partition(opening)
    reasoning = [part.strip() for part in (head.replace(opening, "", 1), unclosed)]
    return "\n".join(filter(None, reasoning)), answer.strip()


@verifier("format")
@dataclass(frozen=True)
class Format:
    """Exactly one closed ``<tag>`` block, first, with an answer after it.

    Attributes:
        tag: the block's name.
        required: with False, a reply without any block passes too.

    Example:
        {"verifier": "format", "completion": "<think>2 + 2 = 4</think>4", "answer": null} -> 1.0
    """

    tag: str = "think"
    required: bool = True

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, or ``wrong`` with what is missing."""
        text = case.completion.strip()
        opened, closed = text.count(f"<{self.tag}>"), text.count(f"</{self.tag}>")
        if not opened and not closed and not self.required:
            return passed("no block, and none is required") if text else wrong("the reply is empty")
        if (opened, closed) != (1, 1):
            return wrong(f"expected one <{self.tag}> block, found {opened} opened and {closed} closed")
        if not re.fullmatch(rf"<{re.escape(self.tag)}>.*</{re.escape(self.tag)}>(.*)", text, re.DOTALL):
            return wrong(f"text stands before the <{self.tag}> block")
        if not text.rpartition(f"</{self.tag}>")[2].strip():
            return wrong(f"no answer after </{self.tag}>")
        return passed()
