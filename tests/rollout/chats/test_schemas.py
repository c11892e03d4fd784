import json
from typing import Any

import pytest

from lachesis.rollout.chats.schemas import Schemas
from lachesis.verifiers.errors import DataError

LOOK: dict[str, Any] = {"type": "function", "function": {"name": "look é 😀", "parameters": {"default": 1}}}


def test_equal_tools_are_one_object_and_those_that_only_compare_equal_are_not() -> None:
    first = Schemas.interned([LOOK])
    assert Schemas.interned(json.loads(json.dumps([LOOK]))) is first
    for other in (True, 1.0, "1"):
        function = {**LOOK["function"], "parameters": {"default": other}}
        assert Schemas.interned([{**LOOK, "function": function}]).text != first.text


def test_the_text_is_json_and_one_digest_does_not_depend_on_the_order_of_keys() -> None:
    schemas, other = Schemas([{"b": 1, "a": "\ud800"}]), Schemas([{"a": "\ud800", "b": 1}])
    assert schemas.text == json.dumps([{"b": 1, "a": "\ud800"}])
    assert schemas.digest != other.digest
    assert schemas.sorted_digest == other.sorted_digest
    assert schemas.sorted_digest != Schemas([{"a": "\ud800", "b": True}]).sorted_digest
    assert (Schemas(()).text, Schemas(()).first, Schemas([LOOK, LOOK]).first) == ("[]", (), (LOOK,))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(DataError, match="JSON"):
        _ = Schemas.interned([{"a": object()}]).text
    for number in range(200):
        Schemas.interned([{"a": number}])
    assert len(Schemas._interned) == 64


def test_long_tools_are_not_kept_for_the_life_of_the_process() -> None:
    long = [{"junk": "x" * (1 << 19)}]
    assert Schemas.interned(long) == tuple(long)
    assert not any(tuple(long) == kept for kept in Schemas._interned.values())
