"""Splitting of a text into words, sentences, lines and paragraphs, in linear time."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
# possessive, and only at the start of a run of marks: otherwise a megabyte of dots takes quadratic time
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]*_]*+(?=\s|$)|[。！？]++[”」』）]*+")
_TITLE = re.compile(
    r"(?:^|[\s(\"'“])(?:(?i:mr|mrs|ms|dr|prof|st|vs|cf|approx|fig|e\.g|i\.e|a\.m|p\.m)|[A-Z]|(?:[A-Za-z]\.)+[A-Za-z])\.$"
)
_SUFFIX = re.compile(r"(?:^|[\s(\"'“])(?:etc|inc|ltd|corp|jr|sr|co|al)\.$", re.IGNORECASE)
_CAPITAL = re.compile(r"\s*[\"'“(*_]*[A-Z]")
_MARKER = re.compile(r"[\s*#>_\-+•=|`~]*(?:\d{1,3}[.)])?[\s*#>_\-+•=|`~]*")
_DIVIDER = re.compile(r"(?<!\S)(?:\*\*\*|\* \* \*)(?!\S)")
_LANGUAGE = re.compile(r"\A(?:json[5cl]?|text|txt|plaintext|python|py|markdown|md)(?=[\s{\[\"])", re.IGNORECASE)
_STRAIGHT = str.maketrans({**dict.fromkeys("‘’‛ʼ′＇", "'"), **dict.fromkeys("“”„‟″＂", '"')})
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def folded(text: str) -> str:
    """Return ``text`` in lower case, with straight quotation marks and apostrophes, for the comparison of phrases."""
    return text.translate(_STRAIGHT).lower()


def words(text: str) -> list[str]:
    """Return runs of letters, digits and underscores, as IFEval counts words: ``don't`` is two."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Return the sentences: parts ending in ``.``, ``!``, ``?``, ``…`` before white space, or in their CJK forms.

    A line break does not end a sentence. Neither does a full stop after a title, an initial or the number of a list
    item, nor one after ``etc.``, ``Inc.`` and the like unless a capital follows. Parts without a letter or digit are
    dropped.
    """
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if text[match.start()] == "." and match.end() < len(text) and _is_inner(text, start, match.start() + 1):
            continue
        found.append(text[start : match.end()])
        start = match.end()
    found.append(text[start:])
    return [part.strip() for part in found if _WORD.search(part)]


def lines(text: str) -> list[str]:
    """Return the lines that are not blank."""
    return [line for line in text.splitlines() if line.strip()]


def divided_paragraphs(text: str) -> list[str]:
    """Return the parts between free-standing ``***`` or ``* * *``, without blank ones at the ends."""
    parts = [part.strip() for part in _DIVIDER.split(text)]
    return _without_blank_ends(parts)


def spaced_paragraphs(text: str) -> list[str]:
    """Return the parts between blank lines."""
    return [part for part in _BLANK_LINES.split(text.strip()) if part.strip()]


def strip_fence(text: str) -> str:
    """Return the content of a code fence around the whole ``text``, else ``text``; both stripped."""
    bare = text.strip()
    if len(bare) < 6 or not (bare.startswith("```") and bare.endswith("```")):
        return bare
    return _LANGUAGE.sub("", bare[3:-3]).strip()


def _without_blank_ends(parts: Sequence[str]) -> list[str]:
    begin = 1 if parts and not parts[0] else 0
    end = len(parts) - 1 if len(parts) > begin and not parts[-1] else len(parts)
    return list(parts[begin:end])


def _is_inner(text: str, start: int, end: int) -> bool:
    """Return whether the full stop before ``end`` belongs to an abbreviation or to the number of a list item."""
    piece = text[max(start, end - 12) : end]
    if _TITLE.search(piece) or (_SUFFIX.search(piece) and not _CAPITAL.match(text, end)):
        return True
    marker = _MARKER.match(text, start, end)
    return marker is not None and marker.end() == end
