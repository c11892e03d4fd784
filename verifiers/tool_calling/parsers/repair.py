"""Parser for complete but invalid JSON: single quotes, trailing commas, Python literals, raw line breaks."""

import re
from json import JSONDecodeError, JSONDecoder
from typing import Any

from ...json_data.text import MAX_DEPTH, NotJson, read_json, read_json_at, skip_space

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z]++")
_WORDS = {"true": True, "false": False, "null": None}
_PYTHON = {"True": True, "False": False, "None": None}
_SINGLE = re.compile(r"'(?:[^'\\]++|\\.)*+'", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)|([\"\n\r\t])", re.DOTALL)
_LOOSE = JSONDecoder(strict=False)
_CONTROL = re.compile(r"[\x00-\x1f]")


def read_repaired(text: str, start: int) -> tuple[Any, int, list[str]]:
    """Return the value at ``start``, the position after it, and the repairs made; truncated values are not completed.

    Raises:
        NotJson: the value cannot be repaired, or is cut off.
    """
    reader = _Reader(text)
    value, end = reader.value(start, 0)
    return value, end, sorted(reader.repairs)


def read_json_or_repaired(text: str, start: int) -> tuple[Any, int, str, list[str]]:
    """Return the value at ``start``, the position after it, and, if it is no JSON, the reason and the repairs made.

    Raises:
        NotJson: the value cannot be repaired, or is cut off; the message says which.
    """
    try:
        value, end = read_json_at(text, start)
        return value, end, "", []
    except NotJson as error:
        fault = f"cut off: {error}" if error.at_end else f"not JSON: {error}"
    try:
        value, end, repairs = read_repaired(text, start)
    except NotJson:
        raise NotJson(fault) from None
    return value, end, fault, repairs


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.repairs: set[str] = set()

    def value(self, start: int, depth: int) -> tuple[Any, int]:
        """Return the value at ``start`` and the position after it."""
        start = skip_space(self.text, start)
        char = self.text[start : start + 1]
        if depth > MAX_DEPTH:
            raise NotJson(f"nested deeper than {MAX_DEPTH}")
        if char == "{":
            return self._object(start + 1, depth)
        if char == "[":
            return self._array(start + 1, depth)
        if char in ('"', "'") and char:
            return self._string(start, char)
        if number := _NUMBER.match(self.text, start):
            return read_json(number[0]), number.end()
        word = _WORD.match(self.text, start)
        if word and word[0] in _PYTHON:
            self.repairs.add("Python's literals")
            return _PYTHON[word[0]], word.end()
        if word and word[0] in _WORDS:
            return _WORDS[word[0]], word.end()
        raise NotJson(f"no value at character {start}")

    def _object(self, position: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while not self._closes(position, "}", bool(found)):
            position = self._comma(position) if found else skip_space(self.text, position)
            char = self.text[position : position + 1]
            if char not in ('"', "'") or not char:
                raise NotJson(f"no name at character {position}")
            name, position = self._string(position, char)
            position = skip_space(self.text, position)
            if self.text[position : position + 1] != ":" or name in found:
                raise NotJson(f"no value for a new name at character {position}")
            found[name], position = self.value(position + 1, depth + 1)
        return found, self._end

    def _array(self, position: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while not self._closes(position, "]", bool(found)):
            position = self._comma(position) if found else position
            value, position = self.value(position, depth + 1)
            found.append(value)
        return found, self._end

    def _closes(self, position: int, closing: str, comma: bool) -> bool:
        """Return whether ``closing`` comes next, even after a trailing comma; ``_end`` is the position after it."""
        position = skip_space(self.text, position)
        if comma and self.text[position : position + 1] == ",":
            behind = skip_space(self.text, position + 1)
            if self.text[behind : behind + 1] == closing:
                self.repairs.add("a trailing comma")
                position = behind
        self._end = position + 1
        return self.text[position : position + 1] == closing

    def _comma(self, position: int) -> int:
        position = skip_space(self.text, position)
        if self.text[position : position + 1] != ",":
            raise NotJson(f"no comma at character {position}")
        return skip_space(self.text, position + 1)

    def _string(self, start: int, quote: str) -> tuple[str, int]:
        if quote == '"':
            return self._decode_string(self.text, start)
        single = _SINGLE.match(self.text, start)
        if single is None:
            raise NotJson(f"a string from character {start} on has no end")
        self.repairs.add("single quotes")
        return self._decode_string(f'"{_ESCAPED.sub(_requote, single[0][1:-1])}"', 0)[0], single.end()

    def _decode_string(self, text: str, start: int) -> tuple[str, int]:
        try:
            value, end = _LOOSE.raw_decode(text, start)
        except JSONDecodeError as error:
            raise NotJson(error.msg) from None
        if _CONTROL.search(text, start, end):
            self.repairs.add("a raw line break or tab in a string")
        return value, end


def _requote(match: re.Match[str]) -> str:
    """Return the replacement of an escape or a double quote when a single-quoted string becomes double-quoted."""
    if match[1] is None:
        return '\\"' if match[2] == '"' else match[2]
    return "'" if match[1] == "'" else match[0]
