"""Bodies are read by a fast parser; these hold it to what Python's own reads."""

import json
import math
import random
from typing import Any

import pytest

from lachesis.rollout.service.engine.requests import Refusal, read_json

NUMBERS = "-0 -0.0 1e400 -1e400 1e-400 5e-324 2e-324 0.1 9007199254740993.0 1E+5 NaN -Infinity 18446744073709551616"
WRONG = '01|1.|.5|+1|1e|-|nan|-NaN|tru|[1,]|{"a":1,}|{a:1}|{} x|\ufeff{}|\x0b1|"\x01"|"a\nb"|"\\x"|/**/1|'
PARTS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "u",
    "d83d",
    "de00",
    "1",
    "0",
    "-",
    ".",
    "e",
    " ",
    "é",
    "null",
    '"k":',
]


def shown(value: Any) -> str:
    """A value with the types of its numbers and the order of its keys."""
    return ascii(value)


@pytest.mark.parametrize(
    "text",
    [
        *NUMBERS.split(),
        *('{"a": 1, "b": 2, "a": {"c": []}}', '"\\ud83d\\ude00 \\u0000 \\/"', '"\\ud800 alone"', '"\\ud83d\\u0041"'),
        *("1" * 4300, " [1 ,\t2\r\n] ", "[" * 300 + "]" * 300, json.dumps({"arguments": '{"a":  1.0}'})),
    ],
    ids=lambda text: text[:20],
)
def test_a_value_is_what_python_reads(text: str) -> None:
    assert shown(read_json(text.encode())) == shown(json.loads(text))


@pytest.mark.parametrize("data", [*map(str.encode, WRONG.split("|")), b'"\xff"', b'"\xed\xa0\x80"', b"1" * 4301])
def test_what_is_no_json_is_refused_in_pythons_words(data: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        read_json(data)
    with pytest.raises(ValueError, match=r"char|decode|digits") as expected:
        json.loads(data.decode())
    assert str(refusal.value) == f"the body is no JSON: {expected.value}"


def test_nesting_beyond_any_depth_is_refused() -> None:
    with pytest.raises(Refusal, match="recursion"):
        read_json(b"[" * 200_000)


def test_random_texts_are_read_as_python_reads_them() -> None:
    drawn = random.Random(0)
    for _ in range(4_000):
        text = "".join(drawn.choice(PARTS) for _ in range(drawn.randint(1, 8)))
        try:
            expected = shown(json.loads(text))
        except ValueError:
            with pytest.raises(Refusal):
                read_json(text.encode())
        else:
            assert shown(read_json(text.encode())) == expected
    for _ in range(1_000):
        number = math.ldexp(drawn.uniform(-1, 1), drawn.randint(-1080, 1024))
        text = drawn.choice(["{!r}", "{:.25e}", "{:.3f}"]).format(number)
        assert shown(read_json(text.encode())) == shown(json.loads(text))
