"""Replies of the candidate's job: untrusted data that is parsed, checked, and compared without decoding it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from .inside.wire import MAX_DEPTH

_HEX = re.compile(r"-?0x[0-9a-f]+")
_BYTES = re.compile(r"(?:[0-9a-f]{2})*")
_CONTAINERS = {"l": False, "q": False, "v": False, "n": False, "t": None, "s": True, "z": True, "k": True}
"""Tag → whether its items must be hashable; None means only if the whole value must be."""
_TOO_LONG = 10**1000
"""Numbers from this on are no keys in any row; Python would refuse to write the longest."""
_HASHABLE = set("ifzbcrth")


class Malformed(ValueError):
    """The driver never writes such a reply, so the program wrote it itself."""


@dataclass(frozen=True)
class Reply:
    """The answer to one request.

    Attributes:
        wire: the value, as encoded by ``wire.encode``.
        raised: name of the exception that the candidate raised; empty if it returned.
        changed: the arguments after the call, or None if the call did not mutate them.
    """

    wire: Any = None
    raised: str = ""
    changed: list[Any] | None = None

    def line(self) -> bytes:
        """Return the reply as a line for the tests' job; the original bytes are never passed on."""
        return to_line(["raised", self.raised] if self.raised else ["value", self.wire, self.changed])


def to_line(message: Any) -> bytes:
    """Return a message as one JSON line, without spaces: untrusted data must not grow when it is written anew."""
    return json.dumps(message, separators=(",", ":")).encode()


def read_message(line: bytes) -> list[Any]:
    """Return the JSON array in ``line``, which untrusted code may have written.

    Raises:
        Malformed: the line is not a JSON array.
    """
    try:
        message = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(message, list):
        raise Malformed("not a JSON array")
    return message


def read_reply(line: bytes, number: int) -> Reply:
    """Return the reply to request ``number``.

    Raises:
        Malformed: the line is not a reply, or answers another request.
    """
    match read_message(line):
        case [int(answered), *_] if answered != number or isinstance(answered, bool):
            raise Malformed(f"a reply to another request than {number}")
        case [int(), "raised", str(name)] if len(name) <= 100:
            return Reply(raised=name if name.isidentifier() else "Exception")
        case [int(), "value", wire, None]:
            check_wire(wire)
            return Reply(wire)
        case [int(), "value", wire, list(changed)]:
            check_wire(wire)
            check_wire(["l", *changed], least_handle=-1)
            return Reply(wire, changed=changed)
    raise Malformed("not a reply")


def check_wire(wire: Any, least_handle: int = 0) -> None:
    """Check that ``wire.decode`` can decode the value, without building it: colliding dict keys cost nothing here.

    Raises:
        Malformed: it cannot; the message says why.
    """
    pending = [(wire, False, 0)]
    while pending:
        part, hashable, depth = pending.pop()
        if part is None or isinstance(part, str | int | float):
            continue
        if not isinstance(part, list) or not part or not isinstance(part[0], str):
            raise Malformed("a value without a tag")
        if depth > MAX_DEPTH + 1:
            raise Malformed("nested too deep")
        tag, items = part[0], part[1:]
        if hashable and tag not in _HASHABLE:
            raise Malformed("a dict key that is not hashable")
        if tag in _CONTAINERS:
            inner = _CONTAINERS[tag]
            pending += [(item, hashable if inner is None else inner, depth + 1) for item in items]
        elif tag == "d" and len(items) % 2 == 0:
            pending += [(item, not place % 2, depth + 1) for place, item in enumerate(items)]
        elif tag == "e" and all(_is_pair(item) for item in items):
            pending += [(half, not place, depth + 2) for item in items for place, half in enumerate(item[1:])]
        elif not _is_atom(tag, items, least_handle):
            raise Malformed(f"a malformed value of tag {tag[:10]!a}")


def same_value(found: Any, expected: Any, tolerance: float) -> bool:
    """Return whether ``found`` (checked) equals ``expected`` (encoded from JSON).

    An integer equals a float of the same value, but true differs from 1. The order of dict entries does not matter.
    What JSON cannot tell apart is equal: a tuple and a list, and a key and its text (1 and "1").
    """
    if isinstance(expected, bool | str) or expected is None:
        return type(found) is type(expected) and bool(found == expected)
    wanted, number = _number(expected), _number(found)
    if wanted is not None:
        return number is not None and _near(number, wanted, tolerance)
    if not isinstance(found, list) or len(found) != len(expected):
        return False
    if expected[0] == "f":
        return bool(found == expected)
    if expected[0] == "d":
        return found[0] == "d" and _same_entries(found[1:], expected[1:], tolerance)
    if found[0] not in ("l", "t"):
        return False
    return all(same_value(a, b, tolerance) for a, b in zip(found[1:], expected[1:], strict=True))


def _same_entries(found: list[Any], expected: list[Any], tolerance: float) -> bool:
    left = dict(zip(expected[::2], expected[1::2], strict=True))
    for wire, value in zip(found[::2], found[1::2], strict=True):
        key = _json_name(wire)
        if key is None or key not in left or not same_value(value, left.pop(key), tolerance):
            return False
    return not left


def _json_name(key: Any) -> str | None:
    """Return the text that JSON makes of a dict's key; None if it is not such a key."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    number = _number(key)
    if number is None or abs(number) >= _TOO_LONG:
        return None
    return json.dumps(number)


def _number(wire: Any) -> int | float | None:
    if isinstance(wire, list) and wire and wire[0] == "i":
        return int(wire[1], 16)
    if isinstance(wire, bool) or not isinstance(wire, int | float):
        return None
    return wire


def _near(found: int | float, wanted: int | float, tolerance: float) -> bool:
    if found == wanted:
        return True
    if not tolerance or (isinstance(found, int) and isinstance(wanted, int)):
        return False
    try:
        return abs(float(found) - float(wanted)) <= tolerance * max(1.0, abs(float(wanted)))
    except OverflowError:
        return False


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 3 and item[0] == "t"


def _is_atom(tag: str, items: list[Any], least_handle: int) -> bool:
    match tag, items:
        case "i", [str(digits)]:
            return bool(_HEX.fullmatch(digits))
        case "f", [str(name)]:
            return name in ("nan", "inf", "-inf")
        case (("b" | "y"), [str(digits)]):
            return bool(_BYTES.fullmatch(digits))
        case "c", [_, _]:
            return all(isinstance(part, float) or (isinstance(part, list) and _is_tagged(part, "f")) for part in items)
        case "r", [_, _, step]:
            return all(type(part) is int or (isinstance(part, list) and _is_tagged(part, "i")) for part in items) and (
                step != 0 and (not isinstance(step, list) or int(step[1], 16) != 0)
            )
        case "h", [int(number)]:
            return type(number) is int and number >= least_handle
    return False


def _is_tagged(part: list[Any], tag: str) -> bool:
    return len(part) == 2 and part[0] == tag and _is_atom(tag, part[1:], 0)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
