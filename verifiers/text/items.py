"""Reader for the items of a list or set answer, written as JSON, as lines, or between separators."""

import re
from collections.abc import Collection, Hashable, Sequence
from typing import Any

from ..json_data.text import NotJson, json_key, read_json
from ..math.extraction import boxed_answers
from ..math.quantity import read_quantity
from .instructions.wording import strip_fence
from .normalization import normalized

MAX_TEXT = 100_000
"""Number of characters read, from the end of an answer."""
MAX_ITEM = 2_000
"""Longest item, in characters, that is normalised; a longer one is compared literally."""
MAX_ITEMS = 5_000
"""Largest number of items compared; further items count but match nothing."""

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
_FENCED_ARRAY = re.compile(
    r"```(?:json)?[^\S\n]*\n\s*(\[[^`]*\])\s*```"
    r"(?![^`]*\b(?:not|no|or|but|and|actually|wait|wrong|except|instead|also|plus|maybe|perhaps|rather|without)\b)"
    r"(?=\s*(?:[^\W\d][^`\[\]{}\n\d]{0,200})?\Z)",
    re.IGNORECASE,
)
"""An array in a fence at the end of the text, where one sentence may follow that neither adds nor takes back."""


def item_key(item: Any) -> Hashable:
    """Return a key that is equal for equivalent items: the value of a number, else the normalised text."""
    if isinstance(item, dict | list):
        return json_key(item)
    if isinstance(item, bool):
        return str(item).lower()
    text = _strip_emphasis(str(item))
    if len(text) > MAX_ITEM:
        return text
    quantity = read_quantity(text)
    if quantity is not None and not quantity.unit and not quantity.percent:
        return quantity.value
    return normalized(text)


def expected_items(answer: Any, separator: str) -> list[Hashable] | None:
    """Return the keys of a task's answer, a list or text read like a completion; None if there is no answer."""
    if isinstance(answer, list | tuple):
        return [item_key(item) for item in answer]
    if answer is None or not str(answer).strip():
        return None
    return read_items(str(answer), separator, ())


def read_items(text: str, separator: str, expected: Collection[Hashable]) -> list[Hashable] | None:
    """Return the keys of the items in ``text``, or None if it is blank.

    Tried in order: a JSON array (also in a fence at the end of the text, or in the last box), bulleted or numbered
    lines, and text between lines, semicolons or commas, whichever occurs first. "and" may precede the last item, unless
    it is part of an ``expected`` item.
    """
    text = text[-MAX_TEXT:].strip()
    if boxes := boxed_answers(text):
        text = boxes[-1]  # boxes joined only by "and" or a comma are already merged
    text = strip_fence(text)
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
            return _item_keys(values)
    pieces = _split_items(text, separator, expected)
    return [key for key in _item_keys(pieces) if key != ""]


def _item_keys(items: Sequence[Any]) -> list[Hashable]:
    keys = [item_key(item) for item in items[:MAX_ITEMS]]
    return keys + [("beyond", index) for index in range(len(items) - len(keys))]


def _split_items(text: str, separator: str, expected: Collection[Hashable]) -> list[str]:
    if separator:
        return [piece.strip() for piece in _unwrap(_LEAD_IN.sub("", text, count=1)).split(separator)]
    if bullets := _BULLET.findall(text):
        return [_strip_emphasis(bullet) for bullet in bullets]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) > 1:
        return [_strip_emphasis(line) for line in lines]
    line = _unwrap(_LEAD_IN.sub("", lines[0], count=1))
    if line.lower().strip(" .") in _NOTHING or not line:
        return []
    parts = line.split(";") if ";" in line else _COMMA.split(line)
    if item_key(parts[0]) not in expected:  # "The colours are red, green and blue"
        parts[0] = _unwrap(_SUBJECT.sub("", parts[0], count=1))
    found = []
    for index, part in enumerate(parts):
        part = part.strip()
        if index == len(parts) - 1 and item_key(part) not in expected:
            found += [piece for piece in _AND.split(part) if piece]
        else:
            found.append(part)
    return [_strip_emphasis(piece) for piece in found if piece]


def _unwrap(text: str) -> str:
    """Return ``text`` without enclosing dollar signs, a final full stop and one enclosing pair of brackets."""
    text = text.strip().strip("$").strip().removesuffix(".").strip()
    for opening, closing in _BRACKETS:
        if len(text) >= 2 and text.startswith(opening) and text.endswith(closing):
            return text[len(opening) : -len(closing)].strip()
    return text


def _strip_emphasis(item: str) -> str:
    return item.strip().rstrip(",;").strip("*`\"'$").strip()
