"""Extraction of the program from a completion: choice of the code block, and completion of a prompt's function."""

import re
import textwrap
from collections.abc import Sequence

from ..text.think import split_reasoning
from .fences import fenced_blocks
from .whole_programs.languages import PYTHON, Language

_UNMARKED = ("", "code", "program", "solution", "answer")
_ANSWER = re.compile(r"^[ \t]*+<answer>", re.MULTILINE | re.IGNORECASE)
_BEGIN = re.compile(r"^[ \t]*+\[(?:BEGIN|PYTHON)\][ \t]*+\n?", re.MULTILINE)
_DONE = re.compile(r"^[ \t]*+\[(?:DONE|/PYTHON)\]", re.MULTILINE)
_CODE_SPAN = re.compile(r"\s*`([^`]+)`\s*")
_ONLY_COMMENTS = re.compile(r"(?:[ \t]*+(?:#(?!include)[^\n]*+)?(?:\n|$))*+")


def extract_program(completion: str, names: Sequence[str] = (), language: Language = PYTHON) -> str:
    """Return the program in a completion, or an empty string if there is none.

    Reasoning is ignored. Among several blocks, the last that defines one of ``names`` is chosen, else the last; blocks
    marked as ``language`` take precedence over unmarked ones, and unmarked ones with statements over others. A text
    without fences is the program itself, or what stands in ``<answer>``, or between ``[BEGIN]`` and ``[DONE]`` (MBPP's
    format) or ``[PYTHON]`` and ``[/PYTHON]`` (Code Llama's). Blocks of comments alone do not count.
    """
    text = _inside_answer(answer_text(completion))
    blocks = fenced_blocks(text)
    if not blocks:
        span = _CODE_SPAN.fullmatch(text)
        return span[1] if span else _between_markers(text)
    head = text[: blocks[0].before]
    if len(blocks) == 1 and not blocks[0].closed and not blocks[0].marked and head.strip():
        return head  # the prompt opened the fence, and this one closes it
    marked = [block.text for block in blocks if language.owns(block.language)]
    marked = [source for source in marked if not _ONLY_COMMENTS.fullmatch(source)] or marked
    plain = [block.text for block in blocks if block.language in _UNMARKED]
    statement = re.compile(language.statement, re.MULTILINE)
    choice = marked or [*plain, *(source for source in plain if statement.search(source))]
    defining = [source for source in [*plain, *marked] if defines(source, names)]
    return [*choice, *defining][-1] if choice else ""


def _inside_answer(text: str) -> str:
    """Return the content of ``<answer>``, unless the only code fences are outside of it."""
    opening = _ANSWER.search(text)
    if opening is None:
        return text
    end = text.lower().rfind("</answer>")
    inside = text[opening.end() : end if end >= opening.end() else None]
    return inside if fenced_blocks(inside) or not fenced_blocks(text) else text


def _between_markers(text: str) -> str:
    """Return the text from ``[BEGIN]``, if there is one, to the first ``[DONE]`` after it; more examples may follow."""
    begin, done = _BEGIN.search(text), _DONE.search(text)
    if begin and (done is None or begin.start() < done.start()):
        done = _DONE.search(text, begin.end())
        return text[begin.end() : done.start() if done else None]
    return text[: done.start() if done else None]


def answer_text(completion: str) -> str:
    """Return the text after the reasoning, with the indentation of its first line."""
    answer = split_reasoning(completion)[1]
    if not answer:
        return ""
    start = completion.rfind(answer)
    before = completion[:start]
    return before[len(before.rstrip(" \t")) :] + answer


def defines(source: str, names: Sequence[str]) -> bool:
    """Return whether a line of ``source`` looks like the definition of one of ``names``."""
    either = "|".join(map(re.escape, names))
    definition = rf"^[ \t]*+(?:(?:async[ \t]++)?def|class)[ \t]++(?:{either})\b|^(?:{either})[ \t]*+=(?!=)"
    return bool(names) and bool(re.search(definition, source, re.MULTILINE))


def continuations(prompt: str, text: str) -> list[str]:
    """Return possible programs with ``text`` as the body of the function that ends ``prompt``, the likeliest first."""
    head = prompt if prompt.endswith("\n") else f"{prompt}\n"
    return [head + text, head + textwrap.indent(text, "    "), f"{head}    {text.lstrip()}"]
