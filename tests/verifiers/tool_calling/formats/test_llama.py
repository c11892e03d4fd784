"""Llama 3.1's calls: the whole reply is JSON, or it is text."""

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import tool_format

LLAMA = tool_format("llama")
CALL = '{"name": "f", "parameters": {"a": 1}}'
MADE = ToolCall("f", {"a": 1})


@pytest.mark.parametrize(
    "text",
    [CALL, f"<|python_tag|>{CALL}", f" {CALL}\n", f"{CALL}<|eom_id|>", f"{CALL}<|eot_id|>", f"<think>hm</think>{CALL}"],
)
def test_a_reply_that_is_a_call_is_one(text: str) -> None:
    assert LLAMA.read(text).calls == (MADE,)


def test_several_calls_are_parted_by_semicolons() -> None:
    assert LLAMA.read(f"{CALL}; {CALL}").calls == (MADE, MADE)


@pytest.mark.parametrize("text", [f"Sure: {CALL}", f"`{CALL}`", '{"name": "Ann", "age": 5}', "{not json}", f"[{CALL}]"])
def test_other_replies_are_text(text: str) -> None:
    reading = LLAMA.read(text)
    assert (reading.calls, reading.text) == ((), text)


@pytest.mark.parametrize(
    "text",
    [
        *(CALL[:-1], CALL[:20], '{"name": "f", "parameters": {"a": "cut', f"{CALL}; {CALL[:-1]}", f"{CALL} and more"),
        *(f"{CALL}{CALL}", f"{CALL};", '<|python_tag|>{"a": 1}', "<|python_tag|>print(1)", "<|python_tag|>"),
        *(
            '{"name": "f", "parameters": {"a": NaN}}',
            '{"name": "f", "parameters": []}',
            '{"name": 1, "parameters": {}}',
        ),
    ],
)
def test_a_call_that_is_cut_off_or_not_alone_has_an_error_and_no_repair(text: str) -> None:
    last = LLAMA.read(text).calls[-1]
    assert last.error
    assert last.repaired is None


def test_another_key_or_spelling_is_a_repair() -> None:
    for text in ('{"name": "f", "arguments": {"a": 1}}', "{'name': 'f', 'parameters': {'a': 1}}", CALL[:-1] + ",}"):
        (call,) = LLAMA.read(text).calls
        assert call.error
        assert call.repaired
        assert (call.repaired.name, call.repaired.arguments) == ("f", {"a": 1})
