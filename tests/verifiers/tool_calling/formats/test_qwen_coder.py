"""Qwen3-Coder's tags: values as their schemas call them, and what is missing reported."""

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.format import tool_format

PROPERTIES = {
    "s": {"type": "string"},
    "n": {"type": "integer"},
    "b": {"type": "boolean"},
    "l": {"type": "array"},
    "o": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "e": {"enum": ["1", "2"]},
}
TOOLS = declarations([{"name": "f", "parameters": {"properties": PROPERTIES}}])
QWEN = tool_format("qwen_coder")


def call(*parameters: tuple[str, str], name: str = "f") -> str:
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters)
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def test_values_are_what_their_schema_calls_them() -> None:
    text = call(("s", "1"), ("n", "1"), ("b", "true"), ("l", "[1]"), ("o", "null"), ("e", "1"), ("x", "1"))
    assert QWEN.read(text, TOOLS).calls == (
        ToolCall("f", {"s": "1", "n": 1, "b": True, "l": [1], "o": None, "e": "1", "x": "1"}),
    )


def test_a_value_of_the_wrong_type_stays_text_for_its_schema_to_refuse() -> None:
    assert QWEN.read(call(("n", "many")), TOOLS).calls == (ToolCall("f", {"n": "many"}),)
    assert QWEN.read(call(("n", "1 2")), TOOLS).calls == (ToolCall("f", {"n": "1 2"}),)


def test_text_keeps_its_own_lines_and_tags() -> None:
    code = "\n  <b>a</b>\n</parameter> in code\n"
    assert QWEN.read(call(("s", code), ("n", "1")), TOOLS).calls == (ToolCall("f", {"s": code, "n": 1}),)


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (call(("n", "1")).removeprefix("<tool_call>\n"), "no <tool_call> before it"),
        (call(("n", "1")).removesuffix("\n</tool_call>"), "no closing tag"),
        (call(("n", "1"), ("b", "True")), "Python's literals"),
    ],
)
def test_a_whole_call_in_other_spelling_is_repaired(text: str, repair: str) -> None:
    (found,) = QWEN.read(text, TOOLS).calls
    assert repair in found.error
    assert found.repaired
    assert found.repaired.arguments["n"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>\n<function=f",
        "<tool_call>\n<function=f>\n",
        "<tool_call>\n<function=f>\n<parameter=s>\ncut",
        "<tool_call>\n<function=f>\n<parameter=s>\ncut\n</parameter>",
        "<tool_call>\n<function=f>\n<parameter=s>\ncut</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=s>\ncut\n</parameter>\n</tool_call>",
        call(("s", "a"), ("s", "b")),
        '<tool_call>{"name": "f"}</tool_call>',
        "<tool_call><function=></function></tool_call>",
    ],
)
def test_a_call_that_is_cut_off_or_malformed_is_never_repaired(text: str) -> None:
    calls = QWEN.read(text, TOOLS).calls
    assert len(calls) == 1
    assert calls[0].error
    assert calls[0].repaired is None


def test_calls_in_thought_are_not_made() -> None:
    text = f"<think>{call(name='g')}</think>{call()}"
    reading = QWEN.read(text, TOOLS)
    assert ([c.name for c in reading.calls], [c.name for c in reading.considered]) == (["f"], ["g"])
