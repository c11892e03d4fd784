"""The items of an answer that is a list or a set, read as JSON, as lines, or between separators."""

import re
from collections.abc import Collection, Hashable, Sequence
from typing import Any

from ..json_data.text import NotJson, json_key, read_json
from ..math.extraction import boxed_answers
from ..math.quantity import read_quantity
from .instructions.wording import unfenced
from .normalization import normalized

MAX_TEXT = 100_000
"""Characters of an answer that are read: its end."""
MAX_ITEM = 2_000
"""Characters of an item; a longer one equals only what is written alike."""
MAX_ITEMS = 5_000
"""Items that are compared; those beyond count, as unlike any other."""

_BULLET = re.compile(r"^[^\S\n]*(?:[-*•–]|\(?\d{1,4}[.)]|\(?[a-z]\))[^\S\n]+(\S.*)$", re.MULTILINE)
_LEAD_IN = re.compile(
    r"\A[^\n]{0,200}?\b(?:answers?|items?|list|set|results?|solutions?|order|sequence|are|is)\s*(?:is|are)?\s*:\s*",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"\A.{0,200}?(?::|\b(?:is|are))\s+", re.IGNORECASE)
_BRACKETS = (("[", "]"), ("{", "}"), ("(", ")"), (r"\{", r"\}"))
_AND = re.compile(r"\s*(?:,\s*)?(?<!\w)(?:and|&)(?!\w)\s*", re.IGNORECASE)
_NOTHING = frozenset({"none", "empty", "empty set", "empty list", "nothing", "∅", r"\emptyset", "no items", "n/a"})
_COMMA = re.compile(r",(?!\d{3}(?!\d))|,(?=\s)|[，、]")
_FENCED_ARRAY = re.compile(r"```(?:json)?[^\S\n]*\n\s*(\[[^`]*\])\s*```\Z", re.IGNORECASE)


def item_key(item: Any) -> Hashable:
    """A key that two items share exactly where they mean the same: by value if numbers, else as normalised text."""
    if isinstance(item, dict | list):
        return json_key(item)
    if isinstance(item, bool):
        return str(item).lower()
    text = _unmarked(str(item))
    if len(text) > MAX_ITEM:
        return text
    quantity = read_quantity(text)
    if quantity is not None and not quantity.unit and not quantity.percent:
        return quantity.value
    return normalized(text)


def expected_items(answer: Any, separator: str) -> list[Hashable] | None:
    """The keys of a task's answer: a list, or text that is read as an answer is; None where there is none."""
    if isinstance(answer, list | tuple):
        return [item_key(item) for item in answer]
    if answer is None or not str(answer).strip():
        return None
    return read_items(str(answer), separator, ())


def read_items(text: str, separator: str, expected: Collection[Hashable]) -> list[Hashable] | None:
    """The keys of the items in ``text``, or None where it is blank.

    A JSON array (also in a fence that ends the text, or inside the last box) is read as such; then bulleted or numbered
    lines; then what stands between separators: lines, semicolons or commas, the first of them that occurs. The last
    item may follow "and" unless the whole is an ``expected`` item.
    """
    text = text[-MAX_TEXT:].strip()
    if boxes := boxed_answers(text):
        text = boxes[-1]  # those that only "and" or a comma joins are one
    text = unfenced(text)
    if not text:
        return None
    if fenced := _FENCED_ARRAY.search(text):
        text = fenced[1]
    if text[0] == "[":
        try:
            values = read_json(text)
        except NotJson:
            values = None
        if isinstance(values, list):
            return _keys(values)
    pieces = _pieces(text, separator, expected)
    return [key for key in _keys(pieces) if key != ""]


def _keys(items: Sequence[Any]) -> list[Hashable]:
    keys = [item_key(item) for item in items[:MAX_ITEMS]]
    return keys + [("beyond", index) for index in range(len(items) - len(keys))]


def _pieces(text: str, separator: str, expected: Collection[Hashable]) -> list[str]:
    if separator:
        return [piece.strip() for piece in _bare(_LEAD_IN.sub("", text, count=1)).split(separator)]
    if bullets := _BULLET.findall(text):
        return [_unmarked(bullet) for bullet in bullets]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) > 1:
        return [_unmarked(line) for line in lines]
    line = _bare(_LEAD_IN.sub("", lines[0], count=1))
    if line.lower().strip(" .") in _NOTHING or not line:
        return []
    parts = line.split(";") if ";" in line else _COMMA.split(line)
    if item_key(parts[0]) not in expected:  # "The colours are red, green and blue"
        parts[0] = _bare(_SUBJECT.sub("", parts[0], count=1))
    found = []
    for index, part in enumerate(parts):
        part = part.strip()
        if index == len(parts) - 1 and item_key(part) not in expected:
            found += [piece for piece in _AND.split(part) if piece]
        else:
            found.append(part)
    return [_unmarked(piece) for piece in found if piece]


def _bare(text: str) -> str:
    """``text`` without dollars, a full stop and one pair of brackets around all of it."""
    text = text.strip().strip("$").strip().removesuffix(".").strip()
    for opening, closing in _BRACKETS:
        if len(text) >= 2 and text.startswith(opening) and text.endswith(closing):
            return text[len(opening) : -len(closing)].strip()
    return text


def _unmarked(item: str) -> str:
    return item.strip().rstrip(",;").strip("*`\"'$").strip()
