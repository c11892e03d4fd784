"""Pythonic calls: literals only, nothing is run, and whatever is more than literals is refused."""

import ast
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import tool_format

PYTHONIC = tool_format("llama_pythonic")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("[f()]", {}),
        (
            "[f(a=1, b=-2.5, c='x', d=\"y\", e=True, g=None)]",
            {"a": 1, "b": -2.5, "c": "x", "d": "y", "e": True, "g": None},
        ),
        ("[f(a=[1, (2, 3)], b={'k': {'l': []}})]", {"a": [1, [2, 3]], "b": {"k": {"l": []}}}),
        ("<|python_tag|>[f(a='it\\'s <|eom_id|>')]<|eot_id|>", {"a": "it's <|eom_id|>"}),
        ("[f(**{'from': 1}, to=2)]", {"from": 1, "to": 2}),
        ("[\n  f(\n a=1,\n ),\n]", {"a": 1}),
        (r"[f(a='\d')]", {"a": r"\d"}),
    ],
)
def test_literal_arguments_are_read(text: str, arguments: dict[str, object]) -> None:
    assert PYTHONIC.read(text).calls == (ToolCall("f", arguments),)


ODD = st.lists(st.sampled_from(["\\", "'", '"', "d", "n", "x41", "777", "3", "N", "u00e9", "r", "\n", "\r", " ", "é"]))


def quietly(source: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.literal_eval(source)
        except (SyntaxError, ValueError):
            return None


@given(ODD.map("".join), st.sampled_from(["'", '"', "'''", '"""']), st.sampled_from(["", "r", "R", "u"]))
@example("\\\r\n", "'", "")
def test_strings_are_pythons_whatever_they_escape_and_no_warning_is_met(body: str, quote: str, prefix: str) -> None:
    string = f"{prefix}{quote}{body}{quote}"
    expected = quietly(string)
    assume(isinstance(expected, str))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PYTHONIC.read(f"[f(a={string}, b='\\d')]").calls == (ToolCall("f", {"a": expected, "b": "\\d"}),)


def test_the_filters_of_warnings_are_left_alone() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        readings = list(threads.map(PYTHONIC.read, [r"[f(a='\d')]"] * 500))
    assert warnings.filters == before
    assert {reading.calls[0].arguments["a"] for reading in readings} == {r"\d"}


def test_a_name_that_python_would_read_as_another_is_written_as_text() -> None:
    call = ToolCall("f", {"º": 1, "größe": 2, "class": 3, "a-b": 4})
    assert PYTHONIC.read(PYTHONIC.write_calls([call])).calls == (call,)


def test_dotted_names_and_several_calls_are_read() -> None:
    assert [call.name for call in PYTHONIC.read("[a.b.c(x=1), d(x=1)]").calls] == ["a.b.c", "d"]


@pytest.mark.parametrize(
    "text",
    [
        *("[f(1)]", "[f(a=x)]", "[f(a=g())]", "[f(a=1+1)]", "[f(a=open('/etc/passwd'))]", "[f(a=__import__('os'))]"),
        *("[f(a=f'{x}')]", "[f(a=b'x')]", "[f(a=1j)]", "[f(a=...)]", "[f(a={1})]", "[f(a={1: 2})]", "[f(a={**b})]"),
        *("[f(a=1, a=2)]", "[f(a=1, **{'a': 2})]", "[f(**x)]", "[f(*x)]", "[f(a=1e999)]", "[f(a={'k': 1, 'k': 2})]"),
        *(
            "[f(a=lambda: 1)]",
            "[f(a=[x for x in y])]",
            "[f(a=-True)]",
            "[f()()]",
            "[f(a=not 1)]",
            "[f(a=1 if 1 else 2)]",
        ),
        *(
            "[f(a=1",
            "[f(a=1)",
            "[f(a='cut",
            "[f(a=1)] and more",
            "[f(a=1)][0]",
            "[f(a=1)]; import os",
            "[f(a=" + "9" * 5000,
        ),
        *(
            "[f(a=" + "[" * 70 + "]" * 70 + ")]",
            "[f(a=" + "-" * 9_000 + "1)]",
            "[f(a=\0)]",
            "[f(a='\ud800" + "x" * 200_000,
        ),
    ],
)
def test_whatever_is_more_than_literals_or_cut_off_is_refused(text: str) -> None:
    calls = PYTHONIC.read(text).calls
    assert calls
    assert calls[0].error
    assert calls[0].repaired is None
    assert not calls[0].arguments


def test_calls_without_brackets_are_a_repair_and_prose_is_text() -> None:
    (call,) = PYTHONIC.read("f(a=1)").calls
    assert call.error
    assert call.repaired
    assert call.repaired.arguments == {"a": 1}
    for text in ("f(a=1", "print(a)", "f(a = b) holds", "f(a=x)?", "see f(a=1) there"):
        assert not any(call.repaired for call in PYTHONIC.read(text).calls)


def test_an_element_that_is_no_call_is_an_error_of_its_own() -> None:
    assert [bool(call.error) for call in PYTHONIC.read("[f(a=1), 5, g]").calls] == [False, True, True]


@pytest.mark.parametrize(
    "unit", ['"', "'", '"""', '\\"', "'\\'", "r'", "\\", "'\\d' ", "[", "-", "a.", "1+", "lambda:", "{'a':"]
)
def test_a_hundred_kilobytes_of_anything_are_read_in_time(unit: str) -> None:
    for begin in ("[f(a=", '[f(a="', "[f(a='x"):
        start = time.process_time()
        PYTHONIC.read(begin + unit * (99_000 // len(unit)))
        assert time.process_time() - start < 4
