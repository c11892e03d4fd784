"""Tool calls as the model wrote them: read as they stand, never repaired."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.tool_calling.call import ToolCall, read_tool_calls

NAMES = st.text(min_size=1, max_size=10)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)


@given(st.lists(st.tuples(NAMES, st.dictionaries(st.text(), VALUES, max_size=3)), max_size=4))
def test_every_call_is_read_back_in_order_and_the_text_around_stays(wanted: list[tuple[str, dict[str, Any]]]) -> None:
    blocks = [f"<tool_call>\n{json.dumps({'name': n, 'arguments': a})}\n</tool_call>" for n, a in wanted]
    calls, around = read_tool_calls("before " + "".join(blocks) + " after")
    assert calls == [ToolCall(name, arguments) for name, arguments in wanted]
    assert around == "before  after"


def test_a_string_may_contain_the_closing_tag() -> None:
    text = '<tool_call>{"name": "say", "arguments": {"text": "</tool_call> <tool_call>"}}</tool_call> done'
    assert read_tool_calls(text) == ([ToolCall("say", {"text": "</tool_call> <tool_call>"})], "done")


def test_arguments_may_be_left_out() -> None:
    assert read_tool_calls('<tool_call>{"name": "now"}</tool_call>')[0] == [ToolCall("now")]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "say", "arguments": {"text": "cut',
        '<tool_call>{"name": "say", "arguments": {}}',
        "<tool_call>say()</tool_call>",
        "<tool_call>",
        '<tool_call>["say"]</tool_call>',
        '<tool_call>{"name": 5}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": "text"}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"x": NaN}}</tool_call>',
        "<tool_call>" + "[" * 50_000 + "</tool_call>",
        "<tool_call>" + "1" * 50_000 + "</tool_call>",
    ],
)
def test_a_call_that_is_cut_off_or_malformed_carries_its_error(text: str) -> None:
    calls, _ = read_tool_calls(text)
    assert len(calls) == 1
    assert calls[0].error
    assert not calls[0].arguments


def test_a_malformed_call_does_not_hide_the_next() -> None:
    calls, around = read_tool_calls('<tool_call>{oops</tool_call> and <tool_call>{"name": "now"}</tool_call>')
    assert [bool(call.error) for call in calls] == [True, False]
    assert around == "and"


@given(
    st.lists(st.sampled_from(["<tool_call>", "</tool_call>", "{", "}", '"name"', ":", '"a"', "[", " "])).map("".join)
)
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read_tool_calls(text)


def test_a_hundred_kilobytes_of_tags_are_read_in_bounded_time() -> None:
    start = time.process_time()
    for text in ("<tool_call>" * 9_000, "<tool_call>{}</tool_call>" * 4_000, "<tool_call>{</tool_call>" * 4_000):
        read_tool_calls(text)
    assert time.process_time() - start < 5
