"""BFCL's verdicts, row by row, and the attacks that its own checker falls for."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rows.jsonl import read_jsonl
from lachesis.verifiers.task import Task
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import FORMATS, tool_format
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

BFCL_IS_WRONG: dict[tuple[str, str], str] = {}
"""(id, mutation) → why: the rows in which our verdict differs. There are none; where it would is tried below."""


def judge(
    text: str, answer: Any, info: dict[str, Any] | None = None, given: dict[str, Any] | None = None, **params: Any
) -> Verdict:
    said = Trajectory(
        Task("", answer=answer, info=info or {}), messages={POLICY: ({"role": "assistant", "content": text},)}
    )
    return asyncio.run(make_verifier("bfcl", params).verify(Case(said, params=given or {})))


def hermes(*calls: tuple[str, dict[str, Any]]) -> str:
    return tool_format("hermes").write_calls(ToolCall(name, arguments) for name, arguments in calls)


def function(name: str = "f", required: tuple[str, ...] = (), **types: Any) -> dict[str, Any]:
    properties = {key: kind if isinstance(kind, dict) else {"type": kind} for key, kind in types.items()}
    return {"name": name, "parameters": {"type": "dict", "properties": properties, "required": list(required)}}


UNTYPED = ("qwen_coder", "glm45")
SHARED = ("deepseek_v3", "glm47", "kimi_k2", "minimax_m2", "mistral_list")
"""Formats whose parser another one has, too; they have tests of their own."""


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in SHARED])
def test_every_verdict_is_bfcls_own(name: str, shared_data: Callable[[str], Path]) -> None:
    cases = {case["id"]: case for case in read_jsonl(shared_data("bfcl_cases.jsonl"))}
    form, differ, count = tool_format(name), [], 0
    for row in read_jsonl(shared_data("bfcl_verdicts.jsonl")):
        if name in UNTYPED and row["mutation"] == "wrong_type":
            continue  # their values have no types of their own: 7 for a string is "7"
        case, count = cases[row["id"]], count + 1
        calls = [ToolCall(key, arguments) for call in row["model_output"] for key, arguments in call.items()]
        params = {"functions": case["function"], "category": case["category"], "format": name}
        verdict = judge(form.write_calls(calls), case["possible_answers"], **params)
        if verdict.passed != row["valid"] and (row["id"], row["mutation"]) not in BFCL_IS_WRONG:
            differ.append((row, verdict))
    assert differ == []
    assert count >= 1100


@pytest.mark.parametrize("name", FORMATS)
def test_where_no_function_helps_text_passes_and_any_call_fails(name: str, shared_data: Callable[[str], Path]) -> None:
    rows = [row for row in read_jsonl(shared_data("bfcl_cases.jsonl")) if row["category"] == "irrelevance"]
    assert len(rows) == 20
    for row in rows:
        params = {"functions": row["function"], "category": row["category"], "format": name}
        assert judge("None of these can do that.", row["possible_answers"], **params).passed
        call = tool_format(name).write_calls([ToolCall(row["function"][0]["name"], {})])
        verdict = judge(call, None, **params)
        assert (verdict.score, verdict.status) == (0.0, "wrong")
    assert judge("<tool_call>{cut", None, functions=[function()], category="irrelevance").status == "wrong"


def test_calls_are_paired_as_well_as_they_can_be_where_bfcl_takes_the_first_that_fits() -> None:
    answer = [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}]
    for order in ((1, 2), (2, 1)):
        text = hermes(*(("f", {"x": x}) for x in order))
        assert judge(text, answer, functions=[function(x="integer")], category="parallel").passed
    assert not judge(
        hermes(("f", {"x": 2}), ("f", {"x": 2})), answer, functions=[function(x="integer")], category="parallel"
    ).passed


VALUES = [
    ("integer", [1], 1, True),
    ("integer", [1], 1.0, False),
    ("integer", [1], True, False),
    ("integer", [1], "1", False),
    ("integer", [1], None, False),
    ("integer", [1], [1], False),
    ("float", [1.0], 1, True),
    ("float", [1], 1.0, True),
    ("float", [1.0], True, False),
    ("float", [1.5], "1.5", False),
    ("boolean", [True], True, True),
    ("boolean", [True], 1, False),
    ("boolean", [True], "true", False),
    ("boolean", [False], 0, False),
    ("string", ["New York, NY"], "new york ny", True),
    ("string", ["New York"], "New York City", False),
    ("string", ["it's"], 'it"s', True),
    ("string", ["x"], "х", False),  # Cyrillic
    ("string", ["x"], "ｘ", False),  # full width
    ("string", ["1"], 1, False),
    ("string", ["a"], ["a"], False),
    ("string", ["a", "b"], "b", True),
    ("string", ["a"], "", False),
    ("integer", [5, ""], "", False),
    ("array", [["a", "b"]], ["A", "b"], True),
    ("array", [["a", "b"]], ["b", "a"], False),
    ("array", [["a", "b"]], ["a", "b", "b"], False),
    ("array", [["a", "b"]], "ab", False),
    ("dict", [{"a": [1], "b": ["x", ""]}], {"a": 1}, True),
    ("dict", [{"a": [1], "b": ["x", ""]}], {"a": 1, "b": "X"}, True),
    ("dict", [{"a": [1]}], {"a": True}, False),  # BFCL takes it: in Python true is 1
    ("dict", [{"a": [1]}], {"a": [1]}, False),
    ("dict", [{"a": [1]}], {}, False),
    ("dict", [{"a": [1]}], {"a": 1, "b": 2}, False),
    ("dict", [{"a": [["x y", "z"]]}], {"a": ["X-Y", "z"]}, True),
    ("dict", [{"a": [{"b": ["x"]}]}], {"a": {"b": "x"}}, True),
    ("dict", [{"a": [{"b": "x"}]}], {"a": {"b": "x"}}, True),
    ("any", ["x"], "x", True),
    ("any", [1], True, False),
]


@pytest.mark.parametrize(("kind", "options", "value", "right"), VALUES)
def test_values_are_compared_as_json_of_their_declared_type(
    kind: str, options: list[Any], value: Any, right: bool
) -> None:
    schema = {"type": kind, "items": {"type": "string"}} if kind == "array" else {"type": kind}
    verdict = judge(hermes(("f", {"x": value})), [{"f": {"x": options}}], functions=[function(x=schema)])
    assert verdict.passed is right, verdict.reason


@pytest.mark.parametrize(
    ("items", "options", "value", "right"),
    [
        ("float", [[1.0, 2.0]], [1, 2], True),
        ("integer", [[1, 2]], [1.0, 2.0], False),
        ("integer", [[1, 0]], [True, False], False),
        ("string", [["1"]], [1], False),
        ("dict", [[{"k": ["a"]}]], [{"k": "A"}], True),
        ("dict", [[{"k": ["a"]}]], [{"k": ["a"]}], False),
        ("dict", [[{"k": ["a"]}]], [], False),
        ("dict", [[{"k": ["a"]}, {"k": ["b"]}]], [{"k": "b"}, {"k": "a"}], False),
        ("array", [[[1], [2]]], [[1], [2]], True),
        ("integer", [[]], [], True),
    ],
)
def test_items_are_compared_one_by_one(items: str, options: list[Any], value: Any, right: bool) -> None:
    schema = {"type": "array", "items": {"type": items}}
    verdict = judge(hermes(("f", {"x": value})), [{"f": {"x": options}}], functions=[function(x=schema)])
    assert verdict.passed is right, verdict.reason


TWO = [function("f", required=("x",), x="integer", y="string"), function("g", z="integer")]
F, G = {"f": {"x": [1], "y": ["", "a"]}}, {"g": {"z": [1]}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("f(x=1)", "missing call"),
        ("", "missing call"),
        (hermes(("f", {"x": 1})), "missing call of 'g'"),
        (hermes(("f", {"x": 1}), ("g", {"z": 1}), ("g", {"z": 2})), "extra call of 'g'"),
        (hermes(("f", {"x": 1}), ("g", {"z": 1}), ("f", {"x": 1})), "duplicated call of 'f'"),
        (hermes(("f", {"x": 1}), ("h", {"z": 1})), "unknown function 'h'"),
        (hermes(("f", {"x": 1}), ("G", {"z": 1})), "unknown function 'G'"),
        (hermes(("f", {"x": 1}), ("g ", {"z": 1})), "unknown function 'g '"),
        (hermes(("f", {"x": 1}), ("ｇ", {"z": 1})), "unknown function"),
        (hermes(("f", {"y": "a"}), ("g", {"z": 1})), "missing argument 'x'"),
        (hermes(("f", {"x": 1}), ("g", {})), "missing argument 'z'"),
        (hermes(("f", {"x": 1, "w": 1}), ("g", {"z": 1})), "unknown argument 'w'"),
        (hermes(("f", {"x": "1"}), ("g", {"z": 1})), "wrong type"),
        (hermes(("f", {"x": 2}), ("g", {"z": 1})), "wrong value 2"),
        (hermes(*[("f", {"x": 1})] * 500), "extra calls: 500"),
        (f"<think>{hermes(('f', {'x': 1}), ('g', {'z': 1}))}</think>", "reasoning"),
        (f"<tool_response>{hermes(('f', {'x': 1}), ('g', {'z': 1}))}</tool_response>", "missing call"),
    ],
)
def test_each_fault_has_a_reason_of_its_own(text: str, reason: str) -> None:
    verdict = judge(text, [F, G], functions=TWO, category="parallel_multiple")
    assert (verdict.score, verdict.status) == (0.0, "wrong")
    assert reason in verdict.reason
    assert judge(hermes(("g", {"z": 1}), ("f", {"x": 1})), [F, G], functions=TWO, category="parallel_multiple").passed


def test_misspelt_calls_pass_only_where_they_may() -> None:
    text = hermes(("f", {"x": 1})).replace('"', "'")
    assert judge(text, [F], functions=TWO, category="multiple").status == "unparseable"
    assert judge(text, [F], functions=TWO, category="multiple", strict=False).passed
    for cut in ('<tool_call>{"name": "f", "arguments": {"x": 1}', '<tool_call>{"name": "f", "arguments": {"x": 1'):
        assert judge(cut, [F], functions=TWO, category="multiple", strict=False).score == 0.0


def test_calls_in_reasoning_that_waits_for_their_results_are_made() -> None:
    assert judge("<think>I look: " + hermes(("f", {"x": 1})), [F], functions=TWO).passed
    assert not judge("<think>" + hermes(("f", {"x": 1})) + " or else", [F], functions=TWO).passed


def test_relevance_asks_for_a_call_of_a_declared_function() -> None:
    assert judge(hermes(("f", {})), None, functions=TWO, category="live_relevance").passed
    for text in ("", hermes(("h", {})), "<tool_call>{"):
        assert judge(text, None, functions=TWO, category="relevance").score == 0.0


def test_parameters_may_come_from_the_row_and_functions_from_the_task() -> None:
    text = hermes(("f", {"x": 1}))
    assert judge(text, [F], given={"functions": TWO, "category": "simple"}).passed
    assert judge(text, [F], info={"functions": TWO}).passed
    assert judge(text, [F], info={"tools": [{"type": "function", "function": one} for one in TWO]}).passed
    assert judge("no", None, info={"tools": TWO}, given={"category": "irrelevance"}).passed


def test_a_row_names_a_built_in_format_or_the_verifiers_own_and_imports_no_code() -> None:
    own = "lachesis.verifiers.tool_calling.formats.glm:FORMAT"
    text = tool_format("glm45").write_calls([ToolCall("f", {"x": 1})])
    assert judge(text, [F], given={"functions": TWO, "format": "glm45"}).passed
    assert judge(text, [F], format=own, given={"functions": TWO, "format": own}).passed
    verdict = judge(text, [F], given={"functions": TWO, "format": own})
    assert (verdict.status, verdict.score) == ("infra_error", None)
    assert own in verdict.reason


@pytest.mark.parametrize(
    ("answer", "params"),
    [
        (None, {"functions": TWO}),
        ([], {"functions": TWO}),
        ("f(x=1)", {"functions": TWO}),
        ([{"f": {"x": 1}}], {"functions": TWO}),
        ([{"f": {"x": [1]}, "g": {}}], {"functions": TWO}),
        ([{"h": {"x": [1]}}], {"functions": TWO}),
        ([["f"]], {"functions": TWO}),
        ([F], {}),
        ([F], {"functions": []}),
        ([F], {"functions": [{"nam": "f"}]}),
        ([F], {"functions": "f"}),
    ],
)
def test_a_broken_row_is_never_a_score(answer: Any, params: dict[str, Any]) -> None:
    for text in (hermes(("f", {"x": 1})), "", "<tool_call>{"):
        verdict = judge(text, answer, **params)
        assert (verdict.score, verdict.status) == (None, "infra_error")
        assert "repair the dataset" in verdict.reason
    assert judge("", [F], given={"functions": TWO, "category": "javascript"}).status == "infra_error"


def test_parameters_that_cannot_be_are_refused() -> None:
    for params in (
        {"category": "parralel"},
        {"format": "hermse"},
        {"strict": "yes"},
        {"category": ["simple"]},
        {"format": {}},
    ):
        with pytest.raises(ConfigError):
            make_verifier("bfcl", params)


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                "<tool_call>",
                "</tool_call>",
                "{",
                "}",
                '"name": "f"',
                ",",
                '"arguments": {"x": ',
                "1",
                "<think>",
                "</think>",
            ]
        )
    ).map("".join)
)
def test_whatever_is_said_is_judged(text: str) -> None:
    verdict = judge(text, [F, G], functions=TWO, category="parallel", strict=False)
    assert verdict.status in ("ok", "wrong", "unparseable")
    json.dumps(verdict.to_json())
