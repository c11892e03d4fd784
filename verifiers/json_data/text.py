"""JSON text from a model: decoded strictly and within bounds, and compared by the rules of JSON, not of Python."""

import json
import math
import re
from collections.abc import Hashable, Iterable
from typing import Any

MAX_TEXT = 1_000_000
"""The longest text to decode, in characters."""
MAX_DEPTH = 64
"""How deeply objects and arrays may be nested."""

_SPACE = " \t\n\r"
_INCOMPLETE = re.compile(r"t(r(u)?)?|f(a(ls?)?)?|n(ul?)?|-|[.eE][+-]?")


class NotJson(ValueError):
    """The text is not JSON, or exceeds the bounds.

    Attributes:
        at_end: whether the text could be the beginning of JSON that was cut off.
        read: how many characters were read before the error.
    """

    def __init__(self, reason: str, at_end: bool = False, read: int = 0) -> None:
        super().__init__(reason)
        self.at_end = at_end
        self.read = read


def read_json(text: str) -> Any:
    """Decode ``text`` as one JSON value, with white space around it.

    Raises:
        NotJson: as in ``read_json_at``, or something follows the value.
    """
    value, end = read_json_at(text)
    if rest := text[end:].strip(_SPACE):
        raise NotJson(f"something follows the value: {rest[:40]!r}")
    return value


def read_json_at(text: str, start: int = 0) -> tuple[Any, int]:
    """Decode the JSON value at ``start``, after white space; return it and the position after it.

    Raises:
        NotJson: it is not JSON, is longer than ``MAX_TEXT``, or is nested deeper than ``MAX_DEPTH``. NaN, numbers that
            are not finite, and objects with duplicate keys are not JSON.
    """
    if len(text) - start > MAX_TEXT:
        raise NotJson(f"longer than {MAX_TEXT} characters")
    begin = skip_space(text, start)
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        at_end = _is_cut_off(text, error)
        read = (len(text) if at_end else error.pos) - begin
        raise NotJson(f"{error.msg} at character {error.pos - start}", at_end, read) from None
    except RecursionError:
        raise NotJson(f"nested deeper than {MAX_DEPTH}") from None
    except NotJson:
        raise
    except ValueError as error:  # an integer with more digits than Python converts
        raise NotJson(str(error)) from None
    if is_deeper(value, MAX_DEPTH):
        raise NotJson(f"nested deeper than {MAX_DEPTH}", read=end - begin)
    return value, end


def to_text(value: Any) -> str:
    """``value`` as JSON on one line, without escaping characters beyond ASCII."""
    return json.dumps(value, ensure_ascii=False)


def skip_space(text: str, start: int) -> int:
    """The position of the first character from ``start`` on that is not white space of JSON."""
    while start < len(text) and text[start] in _SPACE:
        start += 1
    return start


def is_deeper(value: Any, depth: int) -> bool:
    """Whether objects and arrays are nested deeper than ``depth``; does not recurse."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return any(isinstance(inner, dict | list) for inner in level)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def json_key(value: Any) -> Hashable:
    """A hashable key that is equal for equal JSON values: 1 equals 1.0, true does not equal 1, keys have no order."""
    if isinstance(value, dict):
        return "object", frozenset((name, json_key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(map(json_key, value))
    return isinstance(value, bool), value


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the decoder failed only because the text ends too early."""
    rest = text[error.pos : error.pos + 6]
    if error.msg.startswith("Unterminated string"):  # reported where the string begins
        return True
    if error.pos + len(rest) < len(text):
        return False
    return not rest.strip(_SPACE) or "escape" in error.msg or _INCOMPLETE.fullmatch(rest) is not None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson(f"{text[:20]} is not a finite number")
    return number


def _refuse(constant: str) -> float:
    raise NotJson(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson("an object has a duplicate key")
    return made


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object)
