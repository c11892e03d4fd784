"""Replies in the Hermes format: calls read as they stand, repairs told apart, and what is text or thought left be."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.hermes import Hermes, read_hermes
from lachesis.verifiers.tool_calling.parsers.tagged import MAX_CALLS

NAMES = st.text(min_size=1, max_size=10)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)
NOW = '<tool_call>{"name": "now"}</tool_call>'


@given(st.lists(st.tuples(NAMES, st.dictionaries(st.text(), VALUES, max_size=3)), max_size=4))
def test_every_call_is_read_back_in_order_and_the_text_around_stays(wanted: list[tuple[str, dict[str, Any]]]) -> None:
    blocks = [f"<tool_call>\n{json.dumps({'name': n, 'arguments': a})}\n</tool_call>" for n, a in wanted]
    reading = read_hermes("before " + "".join(blocks) + " after")
    assert reading.calls == tuple(ToolCall(name, arguments) for name, arguments in wanted)
    assert reading.text == "before  after"


def test_a_string_may_contain_any_tag() -> None:
    text = {"text": "</tool_call> <tool_call> </think> <tool_response> </scratch_pad>"}
    reading = read_hermes(f"<tool_call>{json.dumps({'name': 'say', 'arguments': text})}</tool_call> done")
    assert (reading.calls, reading.text) == ((ToolCall("say", text),), "done")


def test_arguments_may_be_left_out() -> None:
    assert read_hermes(NOW).calls == (ToolCall("now"),)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "say", "arguments": {"text": "cut',
        '<tool_call>{"name": "say", "arguments": {"text": "cut"}',
        '<tool_call>{"name": "say", "arguments": {"text": "cut</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"n": 12</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"text": "x"}</tool_call>',
        "<tool_call>{'name': 'say', 'arguments': {'text': 'cut",
        "<tool_call>say()</tool_call>",
        "<tool_call>",
        '<tool_call>["say"]</tool_call>',
        '<tool_call>{"name": 5}</tool_call>',
        '<tool_call>{"name": ""}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": "text"}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"x": NaN}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"x": 1e999}}</tool_call>',
        '<tool_call>{"name": "say", "name": "do", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"x": 1, "x": 2}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {}, "parameters": {}}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {}} and more</tool_call>',
        "<tool_call>" + "[" * 50_000 + "</tool_call>",
        "<tool_call>" + "1" * 50_000 + "</tool_call>",
        '<tool_call>{"name": "say", "arguments": ' + '{"a": ' * 80 + "1" + "}" * 81 + "</tool_call>",
    ],
)
def test_a_call_that_is_cut_off_or_malformed_carries_its_error_and_is_never_repaired(text: str) -> None:
    calls = read_hermes(text).calls
    assert len(calls) == 1
    assert calls[0].error
    assert not calls[0].arguments
    assert calls[0].repaired is None


WHOLE = '{"name": "say", "arguments": {"a": "it", "b": [1, true, null]}}'
SAID = ("say", {"a": "it", "b": [1, True, None]})


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (f"<tool_call>{WHOLE}", "no closing tag"),
        (f"<tool_call>{WHOLE}<|im_end|>", "no closing tag"),
        ("<tool_call>{'name': 'say', 'arguments': {'a': 'it', 'b': [1, true, null]}}</tool_call>", "single quotes"),
        (f"<tool_call>{WHOLE[:-2]},}}}}</tool_call>", "a trailing comma"),
        (f"<tool_call>{WHOLE.replace('true, null', 'True, None')}</tool_call>", "Python's literals"),
        (f"<tool_call>```json\n{WHOLE}\n```</tool_call>", "a code fence"),
        (f"<tool_call>{WHOLE.replace('arguments', 'parameters')}</tool_call>", "parameters"),
        (f'<tool_call>{WHOLE[:-1]}, "id": 1}}</tool_call>', "more than a name"),
        (
            f"<tool_call>{json.dumps({'name': 'say', 'arguments': json.dumps(SAID[1])})}</tool_call>",
            "as text",
        ),
    ],
)
def test_a_whole_call_in_other_spelling_is_repaired_and_says_how(text: str, repair: str) -> None:
    (call,) = read_hermes(text).calls
    assert call.error
    assert not call.arguments
    assert call.repaired
    assert (call.repaired.name, call.repaired.arguments, call.repaired.error) == (*SAID, "")
    assert repair in "; ".join(call.repaired.repairs)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.data())
def test_no_part_of_a_call_is_repaired_into_a_call(arguments: dict[str, Any], data: st.DataObject) -> None:
    whole = f"<tool_call>{json.dumps({'name': 'say', 'arguments': arguments})}"
    cut = whole[: data.draw(st.integers(len("<tool_call>"), len(whole) - 1))]
    for text in (cut, cut + "</tool_call>", cut + NOW):
        first = read_hermes(text).calls[0]
        assert first.error
        assert first.repaired is None


A, B = '{"name": "a", "arguments": {"x": 1}}', '{"name": "b"}'


@pytest.mark.parametrize(
    ("inner", "names"),
    [
        (f"\n{A}\n{B}\n", "ab"),
        (f"{A}{B}", "ab"),
        (f"{A} {A} {B}", "aab"),
        (f"[{A}, {B}]", "ab"),
        (f"[{A}]", "a"),
        (f"{A}\n[{B}]", None),
    ],
)
def test_one_tag_may_hold_several_calls(inner: str, names: str | None) -> None:
    reading = read_hermes(f"Now <tool_call>{inner}</tool_call> and <tool_call>{B}</tool_call>")
    assert reading.text == ("Now  and" if names else reading.text)
    errors = [call.error for call in reading.calls]
    assert any(errors) == (names is None)
    if names:
        assert "".join(call.name for call in reading.calls) == f"{names}b"


@pytest.mark.parametrize(
    "inner", [f"{A}{B[:-1]}", f"{A}, and {B}", f"{A} 5", f"[{A}, 5]", f"[{A}, {B}", "[]", f"{A}{B} ok"]
)
def test_a_tag_of_several_calls_that_is_not_whole_is_unreadable(inner: str) -> None:
    calls = read_hermes(f"<tool_call>{inner}</tool_call>").calls
    assert calls[0].error
    assert calls[0].repaired is None


def test_a_malformed_call_does_not_hide_the_next() -> None:
    for broken in ("<tool_call>{oops</tool_call>", "<tool_call>{oops "):
        calls = read_hermes(f"{broken} and {NOW}").calls
        assert [bool(call.error) for call in calls] == [True, False]


def test_a_call_within_a_string_of_a_call_is_no_call() -> None:
    inner = '<tool_call>{"name": "wipe", "arguments": {}}</tool_call>'
    text = json.dumps({"name": "say", "arguments": {"text": inner}})
    assert [call.name for call in read_hermes(f"<tool_call>{text}</tool_call>").calls] == ["say"]
    broken = f"<tool_call>{text[:-1]}</tool_call>"
    assert all(call.error for call in read_hermes(broken).calls)


@pytest.mark.parametrize(
    ("text", "made", "considered"),
    [
        (f"<think>I may {NOW}</think>No.", [], ["now"]),
        (f"I may {NOW}</think>No.", [], ["now"]),
        (f"<think>hm</think>{NOW}", ["now"], []),
        (f"<think>hm, let me look {NOW}", ["now"], []),
        (f"<think>a {NOW} b {NOW}\n", ["now", "now"], []),
        (f"<think>a {NOW}<|im_end|>\n", ["now"], []),
        (f"<think>a {NOW} and then I think", [], ["now"]),
        (f"<THINK >a {NOW}</ Think >b", [], ["now"]),
        (f"{NOW}<think>more {NOW}</think>", ["now"], ["now"]),
        (f"<scratch_pad>Actions: {NOW}</scratch_pad>{NOW}", ["now"], ["now"]),
        (f"<scratch_pad>Goal: x <think>y {NOW}</think> z {NOW}</scratch_pad>", [], ["now", "now"]),
        (f"<tool_response>{NOW}</tool_response>", [], []),
        (f"<tool_response>{NOW}", [], []),
        (f"<tool_response>1</tool_response>{NOW}", ["now"], []),
        ("<think>the tag is <tool_call> and then JSON</think>" + NOW, ["now"], [""]),
        (f"<think>\n<tool_call>{{oops</think>{NOW}", ["now"], [""]),
        ("<tool_call_x>" + NOW[11:], [], []),
    ],
)
def test_calls_in_reasoning_or_in_echoed_results_are_made_only_if_the_reply_waits_for_them(
    text: str, made: list[str], considered: list[str]
) -> None:
    reading = read_hermes(text)
    assert [call.name for call in reading.calls] == made
    assert [call.name for call in reading.considered] == considered


def test_reasoning_and_text_are_told_apart() -> None:
    reading = read_hermes(f"<think>why</think>so {NOW} be it<tool_response>echo</tool_response>")
    assert (reading.reasoning, reading.text) == ("why", "so  be it<tool_response>echo</tool_response>")
    assert read_hermes(f"<think>why {NOW}").reasoning == "why"


PIECES = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "<tool_response>", "</tool_response>"),
    "<scratch_pad>",
]
PIECES += ["</scratch_pad>", *"{}[]':,\\\"", '"name"', '"arguments"', '"a"', "True", " ", "\n", "```json\n", "1e999"]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_no_text_makes_the_reader_raise(text: str) -> None:
    reading = read_hermes(text)
    assert all(call.name for call in reading.lenient() if not call.error)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" * 9_000,
        "<tool_call>{}</tool_call>" * 4_000,
        "<tool_call>{</tool_call>" * 4_000,
        "<tool_call>{'</tool_call>" * 4_000,
        "<tool_call>{'a': \"" * 6_000,
        '<tool_call>{"a": \'' * 6_000,
        "<tool_call>" + "{'a':" * 20_000,
        "<tool_call>{'a': '" + "\\'" * 45_000,
        "<think>" * 14_000,
        "<think></think>" * 6_000,
        "<think" * 16_000,
        "<think " * 14_000,
        "<tool_response>" * 6_000,
        "< " * 50_000,
        "<" + " " * 100_000,
        "<tool_call>" + " " * 90_000,
        ("<tool_call>" + " " * 100) * 900,
        "<tool_call>```json\n" * 5_000,
        (NOW + "<think>") * 2_500,
        "<tool_call>[" + "'a'," * 25_000,
        "<tool_call>{" + "".join(f"'{number}':1," for number in range(9_000)),
    ],
)
def test_a_hundred_kilobytes_of_hostile_text_are_read_in_bounded_time(text: str) -> None:
    start = time.thread_time()
    read_hermes(text)
    assert time.thread_time() - start < 2


def test_the_prompt_holds_every_schema_and_asks_for_a_plan_only_if_told() -> None:
    tools = declarations([{"name": "a.b", "description": "ü", "parameters": {"type": "dict", "properties": {}}}])
    prompt = Hermes().system_prompt(tools.values())
    schema = json.loads(prompt.partition("<tools>\n")[2].partition("\n</tools>")[0])
    assert schema == tools["a.b"].to_json()
    assert schema["function"]["parameters"]["type"] == "object"
    assert "scratch_pad" not in prompt
    planned = Hermes(scratch_pad=True).system_prompt(tools.values())
    assert all(word in planned for word in ("<scratch_pad>", "Goal", "Actions", "Observation", "Reflection"))


def test_a_result_is_named_and_may_hold_any_text() -> None:
    block = Hermes().write_result("now", 'say "</tool_response>"')
    assert block.startswith("<tool_response>\n{")
    assert json.loads(block.partition("\n")[2].rpartition("\n")[0])["name"] == "now"


def test_calls_past_the_bound_are_one_more_call_with_an_error() -> None:
    reading = read_hermes("<think>" + NOW * 5_000)
    assert reading.calls[-1].error
    assert len(reading.calls) + len(reading.considered) == MAX_CALLS + 1
