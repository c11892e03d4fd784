"""Exact encoding of plain values as JSON: tuples differ from lists and True from 1; objects are sent as handles."""

import json
import os
from collections import deque
from collections.abc import Callable
from typing import Any

CHANNEL_IN, CHANNEL_OUT = 3, 4
MAX_DEPTH = 100
"""Deepest nesting of a value that can be encoded."""
MAX_ITEMS = 1_000_000
"""Largest number of items read from an iterator."""

# Tags of [tag, …]: i integer, f non-finite float, l list, t tuple, s set, z frozenset, q deque, d dict, k v e views,
# b bytes, y bytearray, c complex, r range, n iterator, h handle of an object in its job. Everything else is plain JSON.
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
    """The value cannot be encoded exactly as data."""


def refuse(value: Any) -> Any:
    """Refuse a value; the ``other`` of ``encode`` if everything must be plain data."""
    raise NotPlain(f"a value of type {type(value).__name__} is not plain data")


def encode(value: Any, other: Callable[[Any], Any] = refuse, depth: int = 0, deepest: int = MAX_DEPTH) -> Any:
    """Return ``value`` as JSON; ``other`` encodes values of other types. It may be nested ``deepest`` deep.

    Raises:
        NotPlain: the value is nested too deep, or ``other`` refused it.
    """
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -_SAFE < value < _SAFE else ["i", hex(value)]
    if kind is float:
        return value if value - value == 0 else ["f", repr(value)]
    if depth >= deepest:
        raise NotPlain(f"nested more than {deepest} deep")
    if kind in _ITEMS:
        return [_ITEMS[kind], *[encode(item, other, depth + 1, deepest) for item in value]]
    if kind is dict:
        return ["d", *[encode(part, other, depth + 1, deepest) for pair in value.items() for part in pair]]
    if kind in _BYTES:
        return [_BYTES[kind], value.hex()]
    if kind is complex:
        return ["c", encode(value.real), encode(value.imag)]
    if kind is range:
        return ["r", encode(value.start), encode(value.stop), encode(value.step)]
    return other(value)


def encode_other(value: Any, other: Callable[[Any], Any]) -> Any:
    """Encode a value of another type: a subclass as its plain base type, a view or iterator as its items."""
    for base, plain in _REDUCE:
        if isinstance(value, base):
            return encode(plain(value), other)
    wire = encode_items(value, other)
    return refuse(value) if wire is None else wire


def encode_items(value: Any, other: Callable[[Any], Any]) -> Any:
    """Encode a view or an iterator as its items, which an iterator then no longer has; None for other values."""
    kind = type(value)
    if kind in _VIEWS:
        return [_VIEWS[kind], *[encode(item, other, 1) for item in value]]
    if kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__"):
        items = [item for _, item in zip(range(MAX_ITEMS + 1), value, strict=False)]
        if len(items) > MAX_ITEMS:
            raise NotPlain(f"an iterator over more than {MAX_ITEMS} items")
        return ["n", *[encode(item, other, 1) for item in items]]
    return None


def decode(wire: Any, handle: Callable[[int], Any] = refuse) -> Any:
    """Return the value that ``encode`` wrote."""
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
    """The message channel between a job and its parent, one JSON line per message."""

    def __init__(self) -> None:
        self._input = open(CHANNEL_IN, "rb", closefd=False)  # noqa: SIM115 - for the life of the process

    def read(self) -> Any:
        """Return the next message, or None at the end."""
        line = self._input.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def write(self, message: Any) -> None:
        """Send one message."""
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(CHANNEL_OUT, data) :]
