"""Extraction of the program from a completion: choice of the code block, and completion of a prompt's function."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..text.think import split_reasoning

_OPENING = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([\w+#.-]*+)[^`]*+")
_OPENING_BEHIND_TEXT = re.compile(r"()[^`]*(`{3})[ \t]*(python3?|py)")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_PYTHON = {"python", "python3", "py", "py3", "ipython"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: info string of the fence, in lower case.
        text: content of the block.
        closed: whether the fence was closed.
        before: position at which the fence begins.
    """

    language: str
    text: str
    closed: bool
    before: int


def extract_program(completion: str, names: Sequence[str] = ()) -> str:
    """Return the program in a completion, or an empty string if there is none.

    Reasoning is ignored. Among several blocks, the last that defines one of ``names`` is chosen, else the last; blocks
    marked as Python take precedence over unmarked ones. A text without fences is the program itself.
    """
    text = answer_text(completion)
    blocks = fenced_blocks(text)
    if not blocks:
        return text
    head = text[: blocks[0].before]
    if len(blocks) == 1 and not blocks[0].closed and not blocks[0].language and head.strip():
        return head  # the prompt opened the fence, and this one closes it
    python = [block.text for block in blocks if block.language in _PYTHON]
    plain = [block.text for block in blocks if not block.language]
    choice = [*plain, *python] if python else plain
    defining = [source for source in choice if defines(source, names)]
    return [*choice, *defining][-1] if choice else ""


def answer_text(completion: str) -> str:
    """Return the text after the reasoning, with the indentation of its first line."""
    answer = split_reasoning(completion)[1]
    if not answer:
        return ""
    start = completion.rfind(answer)
    indent = len(completion[:start]) - len(completion[:start].rstrip(" \t"))
    return " " * indent + answer if indent else answer


def defines(source: str, names: Sequence[str]) -> bool:
    """Return whether a line of ``source`` looks like the definition of one of ``names``."""
    either = "|".join(map(re.escape, names))
    definition = rf"^[ \t]*+(?:(?:async[ \t]++)?def|class)[ \t]++(?:{either})\b|^(?:{either})[ \t]*+=(?!=)"
    return bool(names) and bool(re.search(definition, source, re.MULTILINE))


def continuations(prompt: str, text: str) -> list[str]:
    """Return possible programs with ``text`` as the body of the function that ends ``prompt``, the likeliest first."""
    head = prompt if prompt.endswith("\n") else f"{prompt}\n"
    return [head + text, head + textwrap.indent(text, "    "), f"{head}    {text.lstrip()}"]


def fenced_blocks(text: str) -> list[Block]:
    """Return the fenced blocks; an unclosed one extends to the end, and a fence in a docstring does not close one."""
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    begin = start = position = quotes = 0
    for match in _LINE.finditer(text):
        line, end = match[0], match.end()
        bare = line.strip()
        if opening is None:
            opening = _OPENING.fullmatch(line.rstrip()) or _OPENING_BEHIND_TEXT.fullmatch(line.rstrip())
            begin, start, quotes = position, end, 0
        elif bare.startswith(opening[2]) and not bare.strip(opening[2][0]) and quotes % 2 == 0:
            blocks.append(_block(opening, begin, text[start:position], True))
            opening = None
        else:
            quotes += line.count('"""') + line.count("'''")
        position = end
    if opening is not None:
        blocks.append(_block(opening, begin, text[start:], False))
    return blocks


def _block(opening: re.Match[str], begin: int, inside: str, closed: bool) -> Block:
    if opening[1]:
        inside = "".join(line.removeprefix(opening[1]) for line in inside.splitlines(keepends=True))
    return Block(opening[3].lower(), inside, closed, begin)
