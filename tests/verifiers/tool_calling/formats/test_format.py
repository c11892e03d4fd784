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


@pytest.mark.parametrize("name", FORMATS)
def test_the_calls_of_every_bfcl_case_are_read_back_strictly(name: str, shared_data: Callable[[str], Path]) -> None:
    form, rows = tool_format(name), list(read_jsonl(shared_data("bfcl_cases.jsonl")))
    assert len(rows) == 130
    for row in rows:
        tools = declarations(row["function"])
        calls = calls_of(row["possible_answers"] or [])
        written = form.write_calls(calls)
        assert form.read(written, tools).calls == calls, row["id"]
        thought = form.read(f"<think>first {written}</think>\n{written}", tools)
        assert thought.calls == calls, row["id"]
        prompt = form.system_prompt(tools.values())
        assert all(json.dumps(tool.name) in prompt for tool in tools.values())


@pytest.mark.parametrize("name", sorted({*FORMATS} - {"qwen_coder"}))
@given(st.lists(st.dictionaries(st.text(max_size=5), FACTORS, max_size=3), min_size=1, max_size=3))
def test_any_json_arguments_are_read_back(name: str, arguments: list[dict[str, Any]]) -> None:
    form = tool_format(name)
    calls = tuple(ToolCall("look.up", each) for each in arguments)
    assert form.read(form.write_calls(calls)).calls == calls


@pytest.mark.parametrize("name", FORMATS)
@given(st.text() | st.lists(st.sampled_from([*"<>[](){}=,;:'\"/|\n a1", "<tool_call>", "</parameter>"])).map("".join))
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
    ):
        for prefix in ("", "[f(a=", '{"name": "f", "parameters": {"a": ', "<tool_call><function=f><parameter=a>"):
            start = time.thread_time()
            form.read(prefix + piece * (100_000 // len(piece)))
            assert time.thread_time() - start < 2, (prefix, piece)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'hermes'"):
        tool_format("herms")
    with pytest.raises(ConfigError):
        tool_format(["hermes"])  # type: ignore[arg-type]


def test_json_mode_holds_its_schema() -> None:
    schema = {"type": "object", "properties": {"größe": {"type": "integer"}}}
    assert json.loads(json_mode_prompt(schema).partition("<schema>")[2].partition("</schema>")[0]) == schema
