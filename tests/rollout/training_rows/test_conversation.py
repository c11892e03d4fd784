"""Messages of rows: who is trained, calls and reasoning in fields or in the text, and reasoning kept or cut."""

import json

import pytest

from lachesis.rollout.training_rows.conversation import Style, as_json, row_messages
from lachesis.verifiers.message import Message

ADD = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
CALL = f"<think>\nI need a tool.\n</think>\n\nOne moment.\n{ADD}"
TALK: list[Message] = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "2+2"},
    {"role": "assistant", "content": "<think>\neasy\n</think>\n\n4", "given": True},
    {"role": "user", "content": "2+3"},
    {"role": "assistant", "content": CALL},
    {"role": "tool", "name": "add", "content": "5", "arguments": {"a": 2}, "error": True},
    {"role": "assistant", "content": "<think>\nThat is it.\n</think>\n\n5"},
]


def test_only_the_replies_of_the_policy_are_trained() -> None:
    assert [row["train"] for row in row_messages(TALK, Style())] == [False] * 4 + [True, False, True]


def test_calls_reasoning_and_results_are_in_fields() -> None:
    called, result, last = row_messages(TALK, Style())[4:]
    assert called == {
        "role": "assistant",
        "content": "One moment.",
        "reasoning_content": "I need a tool.",
        "tool_calls": [{"id": "call_4_0", "type": "function", "function": {"name": "add", "arguments": {"a": 2}}}],
        "train": True,
    }
    assert result == {"role": "tool", "content": "5", "name": "add", "tool_call_id": "call_4_0", "train": False}
    assert (last["content"], last["reasoning_content"]) == ("5", "That is it.")


def test_text_stays_as_it_was_said() -> None:
    rows = row_messages(TALK, Style("text"))
    assert [row["content"] for row in rows] == [message["content"] for message in TALK]
    assert not any("tool_calls" in row or "reasoning_content" in row for row in rows)


def test_reasoning_is_stripped_in_both_forms() -> None:
    for replies in ("parsed", "text"):
        rows = row_messages(TALK, Style(replies, "strip"))  # type: ignore[arg-type]
        assert "I need" not in json.dumps(rows)
        assert rows[6]["content"] == "5"
        assert "add" in json.dumps(rows[4])


def test_reasoning_is_closed_where_it_is_cut() -> None:
    cut = Style("text", "close", lambda text: text[:6].rstrip())
    assert row_messages(TALK, cut)[6]["content"] == "<think>\nThat i\n</think>\n\n5"
    assert row_messages(TALK, cut)[2]["content"] == TALK[2]["content"]
    assert row_messages(TALK, Style("parsed", "close", cut.shorten))[6]["reasoning_content"] == "That i"
    still_open: list[Message] = [{"role": "assistant", "content": "<think>\nnever ends"}]
    assert row_messages(still_open, cut)[0]["content"] == "<think>\nnever\n</think>\n\n"


def test_a_call_that_cannot_be_read_stays_text_and_its_result_has_no_id() -> None:
    broken: list[Message] = [
        {"role": "assistant", "content": '<tool_call>{"name": </tool_call>'},
        {"role": "tool", "name": "x", "content": "what?"},
    ]
    said, result = row_messages(broken, Style())
    assert said == {"role": "assistant", "content": broken[0]["content"], "train": True}
    assert "tool_call_id" not in result


@pytest.mark.parametrize("text", ["\ud800 alone", "\ud83d\ude00", "两百", "</tool_call>\u2028\0"])
def test_any_text_becomes_json_that_utf8_can_hold(text: str) -> None:
    found = json.loads(as_json({"text": text}).encode().decode())["text"]
    assert found == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert "\n" not in as_json({"text": text + "\n"})
