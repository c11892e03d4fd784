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


def test_the_texts_are_json_and_one_of_them_is_sorted() -> None:
    schemas = Schemas([{"b": 1, "a": "\ud800"}])
    assert schemas.text == json.dumps([{"b": 1, "a": "\ud800"}])
    assert schemas.sorted_text == json.dumps([{"a": "\ud800", "b": 1}])
    assert (Schemas(()).text, Schemas(()).first, Schemas([LOOK, LOOK]).first) == ("[]", (), (LOOK,))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(DataError, match="JSON"):
        _ = Schemas.interned([{"a": object()}]).text
    for number in range(200):
        Schemas.interned([{"a": number}])
    assert len(Schemas._interned) == 64
