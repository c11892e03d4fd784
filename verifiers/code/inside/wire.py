"""Plain values as JSON and back, exactly: a tuple is no list, True is no 1, and an object never crosses by value."""

import json
import os
from collections import deque
from collections.abc import Callable
from typing import Any

CHANNEL_IN, CHANNEL_OUT = 3, 4
DEPTH = 100
"""Values nested deeper than this do not cross."""
MOST_ITEMS = 1_000_000
"""An iterator is read this far."""

# Within [tag, …]: i integer, f not finite, l list, t tuple, s set, z frozenset, q deque, d dictionary, k v e its views,
# b bytes, y bytearray, c complex, r range, n iterator, h handle of an object that stays where it is. All else is JSON.
_SAFE = 1 << 53
_ITEMS: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "z", deque: "q"}
_BYTES: dict[type, str] = {bytes: "b", bytearray: "y"}
_VIEWS: dict[type, str] = {type({}.keys()): "k", type({}.values()): "v", type({}.items()): "e"}
_MAKE: dict[str, Callable[[list[Any]], Any]] = {
    **{tag: kind for kind, tag in _ITEMS.items()},
    "k": lambda items: dict.fromkeys(items).keys(),
    "v": lambda items: dict(enumerate(items)).values(),
    "e": lambda items: dict(items).items(),
    "n": iter,
}
_REDUCE: list[tuple[type, Callable[[Any], Any]]] = [
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
]


class NotPlain(Exception):
    """The value has no exact form as data."""


def refuse(value: Any) -> Any:
    """The ``other`` of ``encode`` for values of which all has to be plain."""
    raise NotPlain(f"a value of type {type(value).__name__} is no plain data")


def encode(value: Any, other: Callable[[Any], Any] = refuse, depth: int = 0) -> Any:
    """``value`` as JSON; ``other`` says what is sent of a value whose type is no plain one.

    Raises:
        NotPlain: it is nested too deep, or ``other`` refused.
    """
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -_SAFE < value < _SAFE else ["i", hex(value)]
    if kind is float:
        return value if value - value == 0 else ["f", repr(value)]
    if depth >= DEPTH:
        raise NotPlain(f"nested more than {DEPTH} deep")
    if kind in _ITEMS:
        return [_ITEMS[kind], *[encode(item, other, depth + 1) for item in value]]
    if kind is dict:
        return ["d", *[encode(part, other, depth + 1) for pair in value.items() for part in pair]]
    if kind in _BYTES:
        return [_BYTES[kind], value.hex()]
    if kind is complex:
        return ["c", encode(value.real), encode(value.imag)]
    if kind is range:
        return ["r", encode(value.start), encode(value.stop), encode(value.step)]
    return other(value)


def reduced(value: Any, other: Callable[[Any], Any]) -> Any:
    """What is sent of a value that is no plain one: the plain value that it extends, or what it iterates over."""
    kind = type(value)
    for base, plain in _REDUCE:
        if isinstance(value, base):
            return encode(plain(value), other)
    if kind in _VIEWS:
        return [_VIEWS[kind], *[encode(item, other, 1) for item in value]]
    if kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__"):
        items = [item for _, item in zip(range(MOST_ITEMS + 1), value, strict=False)]
        if len(items) > MOST_ITEMS:
            raise NotPlain(f"an iterator over more than {MOST_ITEMS} items")
        return ["n", *[encode(item, other, 1) for item in items]]
    return refuse(value)


def decode(wire: Any, handle: Callable[[int], Any] = refuse) -> Any:
    """The value that ``encode`` wrote."""
    if not isinstance(wire, list):
        return wire
    tag, *parts = wire
    if tag in _MAKE:
        return _MAKE[tag]([decode(part, handle) for part in parts])
    if tag == "d":
        values = [decode(part, handle) for part in parts]
        return dict(zip(values[::2], values[1::2], strict=True))
    if tag == "i":
        return int(parts[0], 16)
    if tag == "f":
        return float(parts[0])
    if tag == "b":
        return bytes.fromhex(parts[0])
    if tag == "y":
        return bytearray.fromhex(parts[0])
    if tag == "c":
        return complex(decode(parts[0]), decode(parts[1]))
    if tag == "r":
        return range(*map(decode, parts))
    return handle(parts[0])


class Channel:
    """The lines between a job and the parent that started it."""

    def __init__(self) -> None:
        self._input = open(CHANNEL_IN, "rb", closefd=False)  # noqa: SIM115 - for the life of the process

    def read(self) -> Any:
        """The next message, or None at the end."""
        line = self._input.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def write(self, message: Any) -> None:
        """Send one message."""
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(CHANNEL_OUT, data) :]
