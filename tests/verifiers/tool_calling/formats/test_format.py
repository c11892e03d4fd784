"""Every format gives back the calls that it wrote, for all of BFCL's functions, and never raises."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.rows.jsonl import read_jsonl
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.format import FORMATS, json_mode_prompt, tool_format

FACTORS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def calls_of(answers: list[dict[str, dict[str, list[Any]]]]) -> tuple[ToolCall, ...]:
    """The first value of each parameter; objects hold lists of values too."""

    def first(options: list[Any]) -> Any:
        chosen = next((option for option in options if option != ""), "")
        if isinstance(chosen, dict):
            return {name: first(inner) if isinstance(inner, list) else inner for name, inner in chosen.items()}
        if isinstance(chosen, list) and chosen and isinstance(chosen[0], dict):
            return [first([one]) for one in chosen]
        return chosen

    return tuple(
        ToolCall(name, {parameter: first(options) for parameter, options in values.items() if options != [""]})
        for answer in answers
        for name, values in answer.items()
    )


THOUGHT = {
    "mistral": "[THINK]first {0}[/THINK]\n{0}",
    "harmony": "<|channel|>analysis<|message|>first<|end|><|start|>assistant{0}",
}
"""Replies with reasoning, in formats that do not put it in ``<think>``."""
TAGGED = ("qwen_coder", "glm45", "glm47", "minimax_m2", "deepseek_v32")
"""The formats in which argument names stand in tags, and most values have the types that their schemas say."""


@pytest.mark.parametrize("name", FORMATS)
def test_the_calls_of_every_bfcl_case_are_read_back_strictly(name: str, shared_data: Callable[[str], Path]) -> None:
    form, rows = tool_format(name), list(read_jsonl(shared_data("bfcl_cases.jsonl")))
    assert len(rows) == 130
    for row in rows:
        tools = declarations(row["function"])
        calls = calls_of(row["possible_answers"] or [])
        written = form.write_calls(calls)
        assert form.read(written, tools).calls == calls, row["id"]
        thought = form.read(THOUGHT.get(name, "<think>first {0}</think>\n{0}").format(written), tools)
        assert thought.calls == calls, row["id"]
        prompt = form.system_prompt(tools.values())
        declared = (f"type {tool.name} = " if name == "harmony" else json.dumps(tool.name) for tool in tools.values())
        assert all(one in prompt for one in declared)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in TAGGED])
@given(st.lists(st.dictionaries(st.text(max_size=5), FACTORS, max_size=3), min_size=1, max_size=3))
def test_any_json_arguments_are_read_back(name: str, arguments: list[dict[str, Any]]) -> None:
    form = tool_format(name)
    calls = tuple(ToolCall("look.up", each) for each in arguments)
    assert form.read(form.write_calls(calls)).calls == calls


TAGS = [
    *("<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=s>", "</parameter>", "<think>"),
    *("</think>", "<tool_response>", "<arg_key>s</arg_key>", "<arg_value>", "</arg_value>", "<minimax:tool_call>"),
    *("</minimax:tool_call>", '<invoke name="f">', "</invoke>", '<parameter name="s">', "<｜DSML｜function_calls>"),
    *("</｜DSML｜function_calls>", '<｜DSML｜invoke name="f">', "</｜DSML｜invoke>", "</｜DSML｜parameter>"),
    *(
        '<｜DSML｜parameter name="s" string="true">',
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
    ),
    *("<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    *("<|tool_call_begin|>", "functions.f:0", "<|tool_call_argument_begin|>", "<|tool_call_end|>", "[TOOL_CALLS]"),
    *("[ARGS]", "[THINK]", "[/THINK]", "<|start|>assistant", "<|channel|>commentary", " to=functions.f", "```"),
    *("<|message|>", "<|call|>", "<|end|>", "<|constrain|>json", "</s>", "<|eom_id|>", "<|observation|>"),
]
TEXTS = st.text(max_size=8) | st.builds(
    "{}{}{}".format, st.text(max_size=4), st.sampled_from(TAGS), st.text(max_size=4)
)
TYPED = st.one_of(
    st.tuples(st.just("string"), TEXTS),
    st.tuples(st.just("integer"), st.integers()),
    st.tuples(st.just("number"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("null"), st.none()),
    st.tuples(st.just("array"), st.lists(FACTORS | TEXTS, max_size=3)),
    st.tuples(st.just("object"), st.dictionaries(TEXTS, FACTORS | TEXTS, max_size=3)),
)


@pytest.mark.parametrize("name", FORMATS)
@given(st.lists(st.dictionaries(st.sampled_from(["s", "my-key", "größe", "x.y"]), TYPED), min_size=1, max_size=3))
def test_calls_by_their_schemas_are_read_back_though_values_spell_tags(
    name: str, drawn: list[dict[str, tuple[str, Any]]]
) -> None:
    form = tool_format(name)
    tools = declarations(
        [
            {
                "name": f"f-{number}",
                "parameters": {"properties": {key: {"type": kind} for key, (kind, _) in one.items()}},
            }
            for number, one in enumerate(drawn)
        ]
    )
    names = [f"f_{number}" if name == "llama_pythonic" else f"f-{number}" for number in range(len(drawn))]
    calls = tuple(
        ToolCall(called, {key: value for key, (_, value) in one.items()})
        for called, one in zip(names, drawn, strict=True)
    )
    reading = form.read(form.write_calls(calls), tools)
    assert (reading.calls, reading.text, reading.reasoning) == (calls, "", "")


@pytest.mark.parametrize("name", FORMATS)
@given(st.text() | st.lists(st.sampled_from([*"<>[](){}=,;:'\"/|\n a1", *TAGS])).map("".join))
def test_no_text_makes_a_format_raise(name: str, text: str) -> None:
    form = tool_format(name)
    for prefix in ("", "<tool_call><function=f>", "<function=f><parameter=a>", '{"name": ', "[f(", "<|python_tag|>"):
        assert all(call.name for call in form.read(prefix + text).calls if not call.error)


@pytest.mark.parametrize("name", FORMATS)
def test_text_without_calls_is_text(name: str) -> None:
    for text in ("", "No tool helps.", '{"answer": 42}', "[1, 2]", "print(5)", "f(x) = y", "{", "[", "a [link](x)"):
        reading = tool_format(name).read(text)
        assert (reading.calls, reading.text) == ((), text)


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_text_is_read_in_bounded_time(name: str) -> None:
    form = tool_format(name)
    for piece in (
        *("<tool_call>", "<function=f>", "<parameter=a>", "</parameter>", "<tool_call><function=f><parameter=a>"),
        *("<function=f><parameter=a>1</parameter>", "<function=f></function>", '{"name": "f", "parameters": {}}; '),
        *('{"name": ', "[f(", "f(a=", "[f(a=[", "f(a=1),", "[f(a=-", "f(a=a.", "(", "\\", "'", '"', "<", "; ", "{'a':"),
        *(
            "lambda:",
            "1+",
            "not ",
            "x if y else ",
            "{0:",
            "*",
            "f'{",
            "**",
            ":=",
            "[x for x in ",
            "await ",
            "'''",
            "\0",
        ),
        *('<invoke name="f"><parameter name="s">', "[TOOL_CALLS]f[ARGS]{}", "[TOOL_CALLS]f[ARGS]{", "<tool_call>f"),
        *("<tool_call>f<arg_key>s</arg_key><arg_value>", "</arg_value><arg_key>s</arg_key><arg_value>"),
        *(
            "<|start|>assistant<|channel|>final<|message|>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}",
        ),
    ):
        for prefix in ("", "[f(a=", '{"name": "f", "parameters": {"a": ', "<tool_call><function=f><parameter=a>"):
            start = time.thread_time()
            form.read(prefix + piece * (100_000 // len(piece)))
            assert time.thread_time() - start < 2, (prefix, piece)
    for piece in TAGS:
        start = time.thread_time()
        form.read(piece * (100_000 // len(piece)))
        assert time.thread_time() - start < 2, piece


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'hermes'"):
        tool_format("herms")
    with pytest.raises(ConfigError):
        tool_format(["hermes"])  # type: ignore[arg-type]


def test_a_format_of_your_own_goes_by_module_and_name() -> None:
    assert tool_format("lachesis.verifiers.tool_calling.formats.glm:FORMAT") is tool_format("glm45")
    with pytest.raises(ConfigError, match="write_calls"):
        tool_format("json:dumps")


def test_json_mode_holds_its_schema() -> None:
    schema = {"type": "object", "properties": {"größe": {"type": "integer"}}}
    assert json.loads(json_mode_prompt(schema).partition("<schema>")[2].partition("</schema>")[0]) == schema
