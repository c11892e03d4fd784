"""Fenced code blocks of Markdown, as models write them: in lists and quotations, with text after the closing fence."""

import re
from dataclasses import dataclass

from .whole_programs.languages import LANGUAGES

_PREFIX = r"[ \t]*+(?:(?:[-*+>]|\d{1,3}[.)])[ \t]*+)?"
_OPENING = re.compile(rf"({_PREFIX})(`{{3,}}+|~{{3,}}+)[ \t]*+([\w+#.-]*+)[^`]*+")
_OPENING_BEHIND_TEXT = re.compile(r"()[^`]*(`{3})[ \t]*(python3?|py|cpp|c\+\+|javascript|js|bash|sh)")
_ONE_LINE = re.compile(
    rf"{_PREFIX}`{{3}}(?:(python3?|py|cpp|c\+\+|javascript|js|bash|sh)[ \t]++)?([^`]++)`{{3}}[.,;:]?"
)
_QUOTED = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_WITHOUT_DOCSTRINGS = frozenset(
    [
        "bash",
        "sh",
        "shell",
        "shellscript",
        "zsh",
        "c",
        "cpp",
        "c++",
        "cc",
        "cxx",
        "g++",
        "javascript",
        "js",
        "mjs",
        "cjs",
        "node",
        "nodejs",
    ]
)
_LANGUAGES = _WITHOUT_DOCSTRINGS.union(
    [
        "python",
        "python2",
        "python3",
        "py",
        "py3",
        "ipython",
        "pypy",
        "text",
        "txt",
        "plaintext",
        "output",
        "input",
        "console",
        "java",
        "typescript",
        "ts",
        "go",
        "rust",
        "ruby",
        "json",
        "yaml",
        "xml",
        "html",
        "sql",
        "markdown",
        "md",
        "diff",
        "tool_code",
    ]
)


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

    @property
    def marked(self) -> bool:
        """Whether the first word after the fence names a language, and is not the beginning of a sentence."""
        return _is_language(self.language)


def _is_language(word: str, known: frozenset[str] = _LANGUAGES) -> bool:
    """Return whether the word names a known language, of any version: ``c++17``."""
    return word in known or word.rstrip("0123456789.") in known


def fenced_blocks(text: str) -> list[Block]:
    """Return the fenced blocks; an unclosed one extends to the end, and a fence in a docstring does not close one.

    Backticks at the beginning of a line are never Python, so they close a block whatever follows them; if a language
    follows, they open the next one.
    """
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    begin = start = position = quotes = 0
    for match in _LINE.finditer(text):
        line, end = match[0], match.end()
        if opening and quotes % 2 == 0 and (behind := _closes_behind_code(opening, line)):
            blocks.append(_block(opening, begin, text[start : position + behind], True))
            opening, position = None, end
            continue
        closes, opens = _closes(opening, line) if opening and quotes % 2 == 0 else (False, opening is None)
        if opening and closes:
            blocks.append(_block(opening, begin, text[start:position], True))
            opening = None
        if opens:
            if one_line := _ONE_LINE.fullmatch(line.strip()):
                blocks.append(Block(one_line[1] or "", one_line[2], True, position))
            opening = _OPENING.fullmatch(line.rstrip()) or _OPENING_BEHIND_TEXT.fullmatch(line.rstrip())
            begin, start, quotes = position, end, 0
        elif opening and not _is_language(opening[3].lower(), _WITHOUT_DOCSTRINGS):
            quotes += line.count('"""') + line.count("'''")
        position = end
    if opening is not None:
        blocks.append(_block(opening, begin, text[start:], False))
    return blocks


def last_code_block(text: str, language: str = "") -> str | None:
    """The content of the last fenced code block; None if there is none. A block that is never closed counts.

    Args:
        text: a reply; blocks in its reasoning count too, so give it the text after the reasoning (``split_reasoning``).
        language: only blocks marked with this language count: ``python``, ``cpp``, ``javascript`` and ``bash`` in all
            their usual spellings, any other word as it stands after the fence. Empty for all blocks.
    """
    word = language.lower()
    known = LANGUAGES.load(word) if word in LANGUAGES.names else None
    for block in reversed(fenced_blocks(text)):
        if not word or (known.owns(block.language) if known else block.language == word):
            return block.text
    return None


def _closes_behind_code(opening: re.Match[str], line: str) -> int:
    """Return where a fence at the end of a line of code closes the block, or 0 if there is none."""
    code = line.rstrip()
    if opening[2] != "```" or not code.endswith("```") or code.lstrip().startswith("`"):
        return 0
    bare = _QUOTED.sub("", code)
    return len(code) - 3 if bare.endswith("```") and not set(bare) & set("'\"#") else 0


def _closes(opening: re.Match[str], line: str) -> tuple[bool, bool]:
    """Return whether ``line`` closes the block, and whether it opens the next one."""
    bare = line.strip(" \t\r\n>" if ">" in opening[1] else None)
    if not bare.startswith(opening[2]):
        return False, False
    rest = bare.lstrip(opening[2][0])
    if opening[2][0] == "~":
        return not rest, False
    return True, _is_language(rest.strip().lower())


def _block(opening: re.Match[str], begin: int, inside: str, closed: bool) -> Block:
    prefix, lines = opening[1], inside.splitlines(keepends=True)
    if prefix.strip(" \t>"):  # a list's marker; the lines of its item are indented by its width, or not at all
        prefix = " " * len(prefix)
        prefix = prefix if all(line.startswith(prefix) for line in lines if line.strip()) else ""
    if ">" in prefix:
        lines = [re.sub(r"^[ \t]*> ?", "", line) for line in lines]
    elif prefix:
        lines = [line.removeprefix(prefix) for line in lines]
    return Block(opening[3].lower(), "".join(lines), closed, begin)
