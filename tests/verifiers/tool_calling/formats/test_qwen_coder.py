"""Qwen3-Coder's tags: values as their schemas call them, and what is missing reported."""

from typing import Any

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
        (call(("n", "1"), ("l", "[True]")), "Python's literals"),
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


@pytest.mark.parametrize(
    ("parameter", "kind", "raw", "value"),
    [
        ("b", "boolean", "True", True),
        ("b", "boolean", "False", False),
        ("b", "boolean", " true ", True),
        ("b", ["boolean", "null"], "None", None),
        ("n", ["integer", "null"], "None", None),
        ("n", ["integer", "null"], "null", None),
        ("x", ["number", "null"], "1e-07", 1e-07),
        ("o", ["object", "null"], "None", None),
        ("a", ["array", "boolean"], "False", False),
        ("s", ["string", "null"], "None", None),
        ("s", "string", "None", "None"),
        ("s", "string", "True", "True"),
        ("s", ["string", "boolean"], "True", "True"),
        ("u", None, "None", "None"),
    ],
)
def test_scalars_are_read_as_either_template_writes_them(parameter: str, kind: Any, raw: str, value: Any) -> None:
    schema = {} if kind is None else {"type": kind}
    tools = declarations([{"name": "g", "parameters": {"properties": {parameter: schema}}}])
    assert QWEN.read(call((parameter, raw), name="g"), tools).calls == (ToolCall("g", {parameter: value}),)


@pytest.mark.parametrize(("kind", "raw"), [("boolean", "TRUE"), ("boolean", "None"), ("integer", "none")])
def test_words_that_neither_template_writes_stay_wrong(kind: str, raw: str) -> None:
    tools = declarations([{"name": "g", "parameters": {"properties": {"p": {"type": kind}}}}])
    (found,) = QWEN.read(call(("p", raw), name="g"), tools).calls
    assert found.error or found.arguments == {"p": raw}


VALUES = [
    *("</think>", "<think>a</think>b", "a </think> b", "</tool_call>", "<tool_call>x</tool_call>", "</parameter>"),
    *("</function>\n</tool_call>", "</parameter>\n<parameter=", "<parameter=s> alone", "</parameter> </parameter>"),
    *("use <function=g> here", "</tool_call>\nthen <function=g>", "<tool_response>", "<|im_end|>", "\n\n"),
    call(("x", "1"), name="g"),
    f"first {call(('x', '1'), ('y', '</think>'), name='g')}\nthen {call(name='h')}",
    'if "</tool_call>" in s:\n    s = s.split("</think>")[-1]',
]


@pytest.mark.parametrize("before", ["", "<think>hm\n</think>\n", "hm\n</think>\n"])
@pytest.mark.parametrize("value", VALUES)
def test_a_value_may_spell_any_tag(value: str, before: str) -> None:
    reading = QWEN.read(before + call(("s", value), ("n", "1")) + "\n" + call(("s", "b")), TOOLS)
    assert reading.calls == (ToolCall("f", {"s": value, "n": 1}), ToolCall("f", {"s": "b"}))
    assert reading.reasoning == ("hm" if before else "")


@pytest.mark.parametrize("middle", ["</tool_call>", "</think>", "</tool_call></think>"])
@pytest.mark.parametrize("second", [(("s", "b"),), (("s", "b"), ("n", "1"))])
def test_a_call_that_is_cut_off_does_not_swallow_the_next(middle: str, second: tuple[tuple[str, str], ...]) -> None:
    text = f"<think><tool_call>\n<function=f>\n<parameter=s>\ncut{middle}\n{call(*second)}"
    calls = QWEN.read(text, TOOLS).calls
    assert calls[-1] == ToolCall("f", {"s": "b", "n": 1} if len(second) > 1 else {"s": "b"})
    assert all(one.error for one in calls[:-1])


def test_one_tag_may_hold_several_functions() -> None:
    one, two = (call(("n", n)).removeprefix("<tool_call>\n").removesuffix("\n</tool_call>") for n in "12")
    calls = (ToolCall("f", {"n": 1}), ToolCall("f", {"n": 2}))
    for inner in (f"{one}\n{two}", f"{one}{two}"):
        assert QWEN.read(f"<tool_call>\n{inner}\n</tool_call>", TOOLS).calls == calls
    open_tag = QWEN.read(f"<tool_call>\n{one}\n{two}", TOOLS)
    assert open_tag.calls[-1].error
    assert tuple(found.arguments for found in open_tag.lenient()) == ({"n": 1}, {"n": 2})
    cut = QWEN.read(f"<tool_call>\n{one}\n{two[:-8]}\n</tool_call>", TOOLS).calls
    assert [bool(found.error) for found in cut] == [False, True]
    assert cut[1].repaired is None
