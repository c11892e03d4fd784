"""Pythonic calls: literals only, nothing is run, and whatever is more than literals is refused."""

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.format import tool_format

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
