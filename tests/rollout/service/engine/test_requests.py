"""Requests are read as Python's ``json`` reads them, although a faster parser reads most of them."""

import json

import pytest

from lachesis.rollout.service.engine.requests import Refusal, read_json

ODD = ["NaN", "[Infinity, -Infinity]", "1e400", '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '{"a": 1, "a": 2}']
ODD += ["1" * 40, "-0", "-0.0", "5e-324", "0.1", "9007199254740993.0", "18446744073709551616", '"\\u0000"', "[1, true]"]
BAD = ["", "{", "[1,]", "01", "1.", "'a'", '"\t"', '"\\x"', "nan", "\ufeff{}", "[" * 100_000, "1" * 5000, "{} {}"]


@pytest.mark.parametrize("text", ODD)
def test_json_that_parsers_differ_about_is_read_as_python_reads_it(text: str) -> None:
    assert repr(read_json(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="the body is no JSON"):
        read_json(text.encode())


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    for data in (b'"\xff"', b'"\xed\xa0\x80"', b'{"a": "\xc0\x80"}'):
        with pytest.raises(Refusal, match="the body is no JSON"):
            read_json(data)
