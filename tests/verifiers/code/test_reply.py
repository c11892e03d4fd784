"""What a candidate's job answers, read in the parent: only data, and only as much as was asked for."""

import json
import time
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.code.inside.wire import NotPlain, decode, encode, encode_other
from lachesis.verifiers.code.reply import Malformed, Reply, check_wire, read_reply, same_value

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.frozensets(st.integers()) | st.sets(st.text()),
    max_leaves=20,
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def kinds(value: Any) -> Any:
    """The types of all parts."""
    if isinstance(value, dict):
        return dict, [(type(key), kinds(part)) for key, part in value.items()]
    return type(value), [kinds(part) for part in value] if isinstance(value, list | tuple) else None


@given(plain)
def test_plain_data_crosses_exactly(value: Any) -> None:
    wire = json.loads(json.dumps(encode(value)))
    check_wire(wire)
    assert decode(wire) == value
    assert kinds(decode(wire)) == kinds(value)


@pytest.mark.parametrize("value", [(1,), True, 1.0, -0.0, range(3, 9, 2), bytearray(b"x"), deque([1]), "\ud800"])
def test_what_json_does_not_know_crosses_too(value: Any) -> None:
    found = decode(json.loads(json.dumps(encode(value))))
    assert (type(found), repr(found)) == (type(value), repr(value))


def test_an_int_of_more_digits_than_python_prints_crosses() -> None:
    value = 10**5000
    assert decode(json.loads(json.dumps(encode(value)))) == value


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("P", "x y")(1, 2), (1, 2)),
        (Colour.RED, 1),
        (type("Text", (str,), {"__eq__": lambda a, b: True, "__hash__": None})("no"), "no"),
    ],
)
def test_a_subclass_is_sent_by_its_plain_value(value: Any, found: Any) -> None:
    sent = decode(encode_other(value, lambda inner: encode_other(inner, lambda _: None)))
    assert sent == found
    assert type(sent) is type(found)


def test_views_and_iterators_are_sent_by_what_they_hold() -> None:
    assert list(decode(encode_other({1: 2}.keys(), lambda _: None))) == [1]
    assert decode(encode_other({1: 2}.items(), lambda _: None)) == {(1, 2)}
    assert list(decode(encode_other(map(str, [1, 2]), lambda _: None))) == ["1", "2"]


def test_an_object_does_not_cross() -> None:
    with pytest.raises(NotPlain):
        encode(object())


WIRES = r"""NaN|Infinity|{}|[]|[1]|["?"]|["i","zz"]|["i",5]|["i"]|["f","1"]|["b","0"]|["b",0]|["d",1]|["d",["l"],1]|
["s",["d"]]|["k",["q"]]|["s",["t",["l"]]]|["z",["n"]]|["e",1]|["e",["t",1]]|["e",["t",["l"],1]]|["r",0,1,0]|
["r",0,1,["i","0x0"]]|["r",0,1,["i"]]|["r",0,1.5,1]|["r",0,true,1]|["c",1,2]|["c",1.0,["f"]]|["h",-1]|["h",true]|
["h","1"]|["h"]|["l",["x"]]|["t",[null]]"""
LINES = r"""|null|1|{}|[]|[1]|[0]|[0,"value"]|[0,"value",1]|[0,"value",1,1]|["0","value",1,null]|[true,"value",1,null]|
[1,"value",1,null]|[0.0,"value",1,null]|[0,"raised",1]|[0,"value",1,[["d",1]]]|"""
HOSTILE = [
    *(line.strip().encode() for line in LINES.split("|")),
    *(f'[0,"value",{wire.strip()},null]'.encode() for wire in WIRES.split("|")),
    *(b"\xff", b"[" * 100_000, b'[0,"value",' + b'["l",' * 300 + b"1" + b"]" * 300 + b",null]"),
    *(b"[" + b"9" * 400 + b',"value",1,null]', b'[1e999,"value",1,null]', b'[-1,"raised","X"]'),
    *(b'[0,"raised","' + b"x" * 101 + b'"]', b'[0,"value",' + b"9" * 5000 + b",null]"),
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_what_our_driver_does_not_write_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        read_reply(line, 0)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps([0, "value", value, None]).encode()))
def test_no_line_raises_anything_else_and_what_is_read_can_be_decoded(line: bytes) -> None:
    try:
        reply = read_reply(line, 0)
    except Malformed:
        return
    decode(reply.wire, lambda number: number)


def test_the_name_of_what_was_raised_is_a_name() -> None:
    assert read_reply(b'[0,"raised","ValueError"]', 0) == Reply(raised="ValueError")
    assert read_reply(b'[0,"raised","\\u001b[2J"]', 0) == Reply(raised="Exception")


@pytest.mark.parametrize(
    "value",
    [{n * ((1 << 61) - 1): 0 for n in range(4000)}, [[]] * 30_000, list(range(20_000)), "x" * 100_000, 1 << 300_000],
    ids=["keys that collide", "lists", "ints", "text", "int"],
)
def test_a_hostile_value_takes_no_time(value: Any) -> None:
    line = json.dumps([0, "value", encode(value), None]).encode()
    start = time.process_time()
    reply = read_reply(line, 0)
    assert not same_value(reply.wire, encode({"a": 1}), 0.0)
    assert not same_value(reply.wire, encode([1] * 30_000), 0.0)
    assert time.process_time() - start < 3.0  # the square of these sizes would be minutes


@given(json_values)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert same_value(encode(value), encode(value), 0.0)


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        (2, 2.0, True),
        (2.0, 2, True),
        (True, 1, False),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("1", 1, False),
        ((1, 2), [1, 2], True),
        ([(1, 2)], [[1, 2]], True),
        ({"a": (1, (2,))}, {"a": [1, [2]]}, True),
        ([(1, 2)], [[1, 2, 3]], False),
        ([{1, 2}], [[1, 2]], False),
        ((), [], True),
        ((1,), 1, False),
        ({1, 2}, [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({1: 2}, {"1": 2}, True),
        ([{1: {2: (3,)}}], [{"1": {"2": [3]}}], True),
        ({-1: 2, 10**20: 3}, {"-1": 2, str(10**20): 3}, True),
        ({1.5: 2, True: 3, None: 4}, {"1.5": 2, "true": 3, "null": 4}, True),
        ({True: 2}, {"1": 2}, False),
        ({1.0: 2}, {"1": 2}, False),
        ({1: 2, "1": 2}, {"1": 2}, False),
        ({1: 2}, {"01": 2}, False),
        ({(1, 2): 3}, {"(1, 2)": 3}, False),
        ({1: 2, 2: 3}, {"1": 2}, False),
        (float("nan"), 1.0, False),
        (float("inf"), 1e308, False),
        (10**400, 1e308, False),
        (10**20, 1e20, True),
        (2**60, 2**60, True),
        (2**60 + 1, 2**60, False),
        (0.1 + 0.2, 0.3, False),
        (iter([1]), [1], False),
        (float("nan"), float("nan"), True),
        (float("inf"), float("-inf"), False),
    ],
)
def test_a_call_is_compared_as_typed_data(found: Any, expected: Any, equal: bool) -> None:
    wire = encode(found, lambda value: ["n", 1])
    assert same_value(wire, encode(expected), 0.0) == equal


def test_floats_may_differ_by_the_tolerance() -> None:
    assert same_value(0.1 + 0.2, 0.3, 1e-9)
    assert same_value(["l", 1e9 + 1], ["l", 1e9], 1e-6)
    assert not same_value(4, 5, 0.9)
    assert not same_value(["f", "nan"], 0.3, 0.9)
