import pytest

from lachesis.environments.chat import read_reply
from lachesis.environments.interop.responses import input_messages, output_items
from lachesis.verifiers.errors import DataError


def test_earlier_reasoning_and_calls_are_one_message_of_the_assistant() -> None:
    items = [
        {"role": "user", "content": "2 + 2?"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "easy"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I ask."}]},
        {"type": "function_call", "name": "add", "arguments": '{"a": 2}', "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "4"},
    ]
    messages = input_messages({"instructions": "Be brief.", "input": items})
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    said = read_reply(messages[2]["content"], "stop", 0)
    assert (said.reasoning, said.text) == ("easy", "I ask.")
    assert [(call.name, call.arguments) for call in said.tool_calls] == [("add", {"a": 2})]


@pytest.mark.parametrize("item", ["text", {"role": "robot"}, {"role": "user", "content": [{"type": "input_image"}]}])
def test_what_is_no_text_is_refused(item: object) -> None:
    with pytest.raises(DataError):
        input_messages({"input": [item]})


def test_a_reply_is_a_message_and_calls_and_an_empty_one_is_an_empty_message() -> None:
    items, ids = output_items(read_reply("", "stop", 0), 0)
    assert [item["content"][0]["text"] for item in items] == [""]
    assert ids == []
    items, ids = output_items(read_reply('<tool_call>{"name": "f", "arguments": {"é": 1}}</tool_call>', "stop", 0), 3)
    assert [(item["type"], item["arguments"]) for item in items] == [("function_call", '{"é": 1}')]
    assert ids == ["call_3_0"]
