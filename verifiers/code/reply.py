"""What a candidate's job answers: data that is read within bounds, checked, and compared without being built."""

import json
import re
from dataclasses import dataclass
from typing import Any

from .inside.wire import DEPTH

_HEX = re.compile(r"-?0x[0-9a-f]+")
_BYTES = re.compile(r"(?:[0-9a-f]{2})*")
_MANY = {"l": False, "q": False, "v": False, "n": False, "t": None, "s": True, "z": True, "k": True}
"""Tag → whether its items must be hashable; None: where the whole must."""
_HASHABLE = set("ifzbcrth")


class Malformed(ValueError):
    """A reply that no driver of ours writes; the program wrote it itself."""


@dataclass(frozen=True)
class Reply:
    """The answer to one request.

    Attributes:
        wire: the value, as ``wire.encode`` writes it.
        raised: the name of what the candidate raised instead, empty where it returned.
        changed: the arguments as they are after the call, None where they are what they were.
    """

    wire: Any = None
    raised: str = ""
    changed: list[Any] | None = None

    def line(self) -> bytes:
        """The reply as the tests' job reads it: written by us, never passed on as it came."""
        return to_line(["raised", self.raised] if self.raised else ["value", self.wire, self.changed])


def to_line(message: Any) -> bytes:
    """A message of ours as one line."""
    return json.dumps(message).encode()


def read_message(line: bytes) -> list[Any]:
    """The JSON array in ``line``, which untrusted code may have written.

    Raises:
        Malformed: it is none.
    """
    try:
        message = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from None
    if not isinstance(message, list):
        raise Malformed("no JSON array")
    return message


def read_reply(line: bytes, number: int) -> Reply:
    """The reply to request ``number``.

    Raises:
        Malformed: it is no reply, or one to another request.
    """
    match read_message(line):
        case [int(answered), *_] if answered != number or isinstance(answered, bool):
            raise Malformed(f"a reply to another request than {number}")
        case [int(), "raised", str(name)] if len(name) <= 100:
            return Reply(raised=name if name.isidentifier() else "Exception")
        case [int(), "value", wire, None]:
            check(wire)
            return Reply(wire)
        case [int(), "value", wire, list(changed)]:
            check(wire)
            check(["l", *changed], least_handle=-1)
            return Reply(wire, changed=changed)
    raise Malformed("no reply")


def check(wire: Any, least_handle: int = 0) -> None:
    """Refuse what ``wire.decode`` could not read. Builds nothing, so that keys that collide cost nothing here.

    Raises:
        Malformed: with the reason.
    """
    pending = [(wire, False, 0)]
    while pending:
        part, hashable, depth = pending.pop()
        if part is None or isinstance(part, str | int | float):
            continue
        if not isinstance(part, list) or not part or not isinstance(part[0], str):
            raise Malformed("a value without a tag")
        if depth > DEPTH + 1:
            raise Malformed("nested too deep")
        tag, items = part[0], part[1:]
        if hashable and tag not in _HASHABLE:
            raise Malformed("a key that cannot be one")
        if tag in _MANY:
            inner = _MANY[tag]
            pending += [(item, hashable if inner is None else inner, depth + 1) for item in items]
        elif tag == "d" and len(items) % 2 == 0:
            pending += [(item, not place % 2, depth + 1) for place, item in enumerate(items)]
        elif tag == "e" and all(_is_pair(item) for item in items):
            pending += [(half, not place, depth + 2) for item in items for place, half in enumerate(item[1:])]
        elif not _is_atom(tag, items, least_handle):
            raise Malformed(f"a value of tag {tag[:10]!a} that is none")


def same(found: Any, expected: Any, tolerance: float, outermost: bool = True) -> bool:
    """Whether the value ``found`` (checked) is the value ``expected`` (encoded, of JSON only).

    A whole number may stand for a float of that value and the other way round; true is no 1. Dictionaries have no
    order. A tuple is a list only where it is the whole answer.
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
    if found[0] != "l" and not (outermost and found[0] == "t"):
        return False
    return all(same(a, b, tolerance, False) for a, b in zip(found[1:], expected[1:], strict=True))


def _same_entries(found: list[Any], expected: list[Any], tolerance: float) -> bool:
    left = dict(zip(expected[::2], expected[1::2], strict=True))
    for key, value in zip(found[::2], found[1::2], strict=True):
        if not isinstance(key, str) or key not in left or not same(value, left.pop(key), tolerance, False):
            return False
    return not left


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
