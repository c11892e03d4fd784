"""Replies that are nothing but calls, whose arguments may spell the tags of reasoning."""

import json

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import tool_format

VALUES = [
    *(
        "<think>",
        "</think>",
        "<think>a</think>b",
        "a </think> b",
        "</THINK >",
        "<think/>",
        "a<think>",
        "</think></think>",
    ),
    *('re.sub("</think>", "", s)', "\n</think>\n\n", "[f(a=1)]</think>", '{"name": "f", "parameters": {}}</think>'),
]
BEFORE = [("", ""), ("hm</think>", "hm"), ("<think>hm</think>\n", "hm"), ("<think>a</think>b</think>", "a\nb")]


@pytest.mark.parametrize("name", ["llama", "llama_pythonic"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("before", "reasoning"), BEFORE)
def test_tags_in_an_argument_end_no_reasoning(name: str, value: str, before: str, reasoning: str) -> None:
    calls = (ToolCall("edit", {"text": value}), ToolCall("edit", {"text": "b"}))
    form = tool_format(name)
    for count in (1, 2):
        reading = form.read(before + form.write_calls(calls[:count]))
        assert (reading.calls, reading.text) == (calls[:count], "")
        if before != BEFORE[-1][0]:
            assert reading.reasoning == reasoning


@pytest.mark.parametrize("name", ["llama", "llama_pythonic"])
def test_calls_in_reasoning_are_not_made(name: str) -> None:
    form = tool_format(name)
    one, two = (form.write_calls([ToolCall("f", {"a": number})]) for number in (1, 2))
    for text in (f"<think>{one}</think>No.", f"{one}</think>No.", f"<think>{one}", f"<think>{one} so</think>"):
        assert form.read(text).calls == ()
    for text in (f"<think>{one}</think>{two}", f"{one}</think>{two}", f"<think>a</think>{one}</think>{two}"):
        assert form.read(text).calls == (ToolCall("f", {"a": 2}),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("llama", json.dumps({"name": "edit", "parameters": {"text": "a </think> b"}})[:-5]),
        ("llama", "{'name': 'edit', 'parameters': {'text': 'a </think> b'}} and more"),
        ("llama_pythonic", "[edit(text='a </think> b'), edit(x)]"),
        ("llama_pythonic", "[edit(text='a </think> b'"),
    ],
)
def test_a_call_that_is_not_whole_is_not_made_by_its_tags(name: str, text: str) -> None:
    reading = tool_format(name).read(text)
    assert all(call.error for call in reading.calls)
