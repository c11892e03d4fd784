"""Calls against declared tools and expected calls: a reason for each fault, and no way to be paid without the work."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import tool_format
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

TOOLS = [
    {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
    {
        "name": "find",
        "parameters": {"type": "object", "properties": {"word": {"type": "string", "pattern": "^(a|a)*$"}}},
    },
    {"name": "now", "parameters": {}},
]


def judge(
    said: str | list[dict[str, Any]], answer: Any = None, info: dict[str, Any] | None = None, **params: Any
) -> Verdict:
    messages = [{"role": "assistant", "content": said}] if isinstance(said, str) else said
    task = Task("", answer=answer, info={"tools": TOOLS} if info is None else info)
    case = Case(Trajectory(task, messages={POLICY: tuple(messages)}))  # type: ignore[arg-type]
    return asyncio.run(make_verifier("tool_calls", params).verify(case))


def hermes(*calls: tuple[str, dict[str, Any]]) -> str:
    return tool_format("hermes").write_calls(ToolCall(name, arguments) for name, arguments in calls)


ADD = ("add", {"a": 1, "b": 2})
EXPECTED = [{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "now", "arguments": {}}]


def test_valid_calls_of_declared_tools_pass() -> None:
    assert judge(hermes(ADD, ("add", {"a": 2, "b": 2}), ("now", {}))).score == 1.0
    assert judge(hermes(ADD, ("now", {})), EXPECTED).score == 1.0
    assert judge(hermes(("now", {}), ("add", {"b": 2, "a": 1})), EXPECTED).score == 1.0
    assert judge(hermes(ADD), json.dumps(EXPECTED[:1])).score == 1.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing call"),
        (hermes(("sub", {})), "unknown tool 'sub'"),
        (hermes(("Add", ADD[1])), "unknown tool 'Add'"),
        (hermes(("add", {"a": 1})), "missing argument: $.b"),
        (hermes(("add", {"a": 1, "b": 2, "c": 3})), "unknown argument: $.c"),
        (hermes(("add", {"a": "1", "b": 2})), "wrong type: $.a"),
        (hermes(("add", {"a": True, "b": 2})), "wrong type: $.a"),
        (hermes(("add", {"a": 1.0, "b": 2})), "wrong type: $.a"),
        (hermes(("add", {"a": None, "b": 2})), "wrong type: $.a"),
        (hermes(("find", {"word": "b"})), "wrong value: $.word"),
        (hermes(("now", {"x": 1})), "unknown argument: $.x"),
        (hermes(ADD, ADD), "duplicated call of 'add'"),
        (hermes(ADD) + "<tool_call>{cut", "cannot be read"),
        (hermes(ADD).replace('"', "'"), "cannot be read"),
        (f"<think>{hermes(ADD)}</think>5", "missing call"),
        (f"<tool_response>{hermes(ADD)}</tool_response>", "missing call"),
    ],
)
def test_each_fault_has_a_reason_of_its_own(text: str, reason: str) -> None:
    verdict = judge(text)
    assert verdict.score == 0.0
    assert verdict.status in ("wrong", "unparseable")
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("calls", "reason", "share"),
    [
        ([ADD], "missing call of 'now'", 1 / 2),
        ([ADD, ("now", {}), ("add", {"a": 9, "b": 9})], "extra call of 'add'", 2 / 3),
        ([ADD, ("now", {}), ADD], "duplicated call of 'add'", 2 / 3),
        ([("add", {"a": 2, "b": 1}), ("now", {})], "other arguments", 1 / 2),
        ([ADD] * 50, "duplicated call", 1 / 50),
        ([("add", {"a": True, "b": 2}), ("now", {})], "wrong type", 1 / 2),
    ],
)
def test_calls_are_measured_against_those_expected(calls: list[Any], reason: str, share: float) -> None:
    verdict = judge(hermes(*calls), EXPECTED)
    assert (verdict.score, verdict.status) == (0.0, "wrong")
    assert reason in verdict.reason
    shared = judge(hermes(*calls), EXPECTED, credit="share")
    assert (shared.score, shared.status) == (pytest.approx(share), "wrong")


def test_names_alone_ask_for_valid_calls_of_those_tools_and_not_for_one_call_again() -> None:
    twice = [EXPECTED[0], EXPECTED[0]]
    assert judge(hermes(ADD, ADD), twice).score == 1.0
    assert judge(hermes(ADD, ("add", {"a": 5, "b": 6})), twice, match="names").score == 1.0
    assert judge(hermes(ADD, ADD), twice, match="names").score == 0.0
    assert judge(hermes(ADD, ADD), twice, match="names", duplicates=True).score == 1.0
    assert judge(hermes(("add", {"a": 5})), EXPECTED[:1], match="names").score == 0.0


def test_an_empty_answer_asks_for_no_call() -> None:
    assert judge("It is five.", []).score == 1.0
    assert judge(hermes(("now", {})), []).score == 0.0
    assert judge("It is five.", required=False).score == 1.0
    assert judge("It is five.", EXPECTED, required=False).score == 0.0


def test_an_answer_that_is_no_calls_is_the_datasets_fault_unless_it_is_not_meant() -> None:
    for answer in ("5", 5, {"name": "add"}, [{"nom": "add"}], [{"name": "add", "arguments": "{cut"}]):
        verdict = judge(hermes(ADD), answer)
        assert (verdict.score, verdict.status) == (None, "infra_error")
        assert judge(hermes(ADD), answer, match="none").score == 1.0


def test_broken_tools_are_the_datasets_fault() -> None:
    remote = [{"name": "add", "parameters": {"properties": {"a": {"$ref": "https://example.org/a"}}}}]
    for info in (
        {},
        {"tools": "add"},
        {"tools": remote},
        {"tools": [{"name": "add", "parameters": {"type": "nothing"}}]},
    ):
        verdict = judge(hermes(ADD), info=info)
        assert (verdict.score, verdict.status) == (None, "infra_error")
        assert "repair the dataset" in verdict.reason


def test_all_turns_are_judged_where_asked_and_calls_of_an_api_too() -> None:
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    talk: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"role": "tool", "content": hermes(("sub", {})), "name": "add"},
        {"role": "assistant", "content": hermes(("now", {}))},
    ]
    assert judge(talk, EXPECTED, turns="all").score == 1.0
    assert judge(talk, EXPECTED[1:]).score == 1.0
    assert judge([*talk, {"role": "assistant", "content": "Three."}], EXPECTED, turns="all").score == 1.0
    broken = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": "{cut"}}, 5]}
    assert judge([broken]).status == "unparseable"
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    deep_call = {"function": {"name": "now", "arguments": deep}}
    assert judge([{"role": "assistant", "content": "", "tool_calls": [deep_call]}]).status == "unparseable"


def test_repairs_pass_only_where_they_may() -> None:
    assert judge(hermes(ADD).replace('"', "'"), strict=False).score == 1.0
    assert judge("<tool_call>{'name': 'now'", strict=False).score == 0.0


def test_a_catastrophic_argument_ends_at_its_limit_however_often_it_comes() -> None:
    start = time.thread_time()
    verdict = judge(hermes(*[("find", {"word": "a" * 5_000 + str(number)}) for number in range(20)]))
    assert (verdict.score, verdict.status) == (0.0, "limit")
    assert time.thread_time() - start < 4


def test_too_many_calls_are_refused() -> None:
    assert judge(hermes(*[("add", {"a": number, "b": 0}) for number in range(400)])).score == 0.0


def test_parameters_that_cannot_be_are_refused() -> None:
    for params in (
        {"match": "exactly"},
        {"turns": "first"},
        {"credit": 1},
        {"strict": 1},
        {"format": "xml"},
        {"match": []},
    ):
        with pytest.raises(ConfigError):
            make_verifier("tool_calls", params)


PIECES = [
    "<tool_call>",
    "</tool_call>",
    "{",
    "}",
    '"name": "add"',
    ",",
    '"arguments": {"a": ',
    "1",
    "<think>",
    "</think>",
]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_whatever_is_said_is_judged(text: str) -> None:
    for params in ({"strict": False}, {"credit": "share"}):
        verdict = judge(text, EXPECTED, **params)
        assert verdict.score is not None
        json.dumps(verdict.to_json())
