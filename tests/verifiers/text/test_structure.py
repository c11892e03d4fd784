"""Answers that are one JSON value, valid by a schema."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(text: str, answer: Any = None, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(
        make_verifier("json_schema", params).verify(Case(Trajectory(Task("q", answer), messages=messages)))
    )


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"name": "a", "age": 3}', "ok"),
        ('<think>{"name": 1}</think>\n{"name": "a"}', "ok"),
        ('```json\n{"name": "a"}\n```', "ok"),
        ('```\n{"name": "a"}\n```', "ok"),
        ('```JSON {"name": "a"}```', "ok"),
        ('```json\n{"name": "```x```"}\n```', "ok"),
        ('```json\n{"name": "a"}\n```\n```json\n{"name": "a"}\n```', "unparseable"),
        ("```json\n" + " \n" * 50_000 + "x```", "unparseable"),
        ("```", "unparseable"),
        ("``````", "unparseable"),
        ('{"name": 1}', "wrong"),
        ('{"age": 3}', "wrong"),
        ('{"name": "a", "age": -1}', "wrong"),
        ('{"name": "a", "x": 1}', "wrong"),
        ("[]", "wrong"),
        ("null", "wrong"),
        ('Here: {"name": "a"}', "unparseable"),
        ('{"name": "a"} Done.', "unparseable"),
        ('{"name": "a"}{"name": "b"}', "unparseable"),
        ('{"name": "a", "name": "b"}', "unparseable"),
        ("{'name': 'a'}", "unparseable"),
        ('{"name": "a"', "unparseable"),
        ('{"name": "a", "age": NaN}', "unparseable"),
        ('<think>{"name": "a"}</think>', "unparseable"),
        ('<think>{"name": "a"}', "unparseable"),
        ("", "unparseable"),
        ("[" * 100_000, "unparseable"),
        ('{"name": ' * 10_000, "unparseable"),
        ("9" * 100_000, "unparseable"),
        (json.dumps(SCHEMA), "wrong"),
    ],
)
def test_the_whole_answer_must_be_valid(text: str, status: str) -> None:
    for answer in (SCHEMA, json.dumps(SCHEMA)):
        assert judge(text, answer).status == status
    assert judge(text, schema=SCHEMA).status == status


def test_a_fence_can_be_refused_and_faults_are_listed() -> None:
    assert judge('```json\n{"name": "a"}\n```', SCHEMA, fence=False).status == "unparseable"
    verdict = judge('{"age": "x", "b": 1}', SCHEMA)
    assert len(verdict.evidence["faults"]) == 3


@pytest.mark.parametrize("answer", [None, 3, "", "no json", {"type": "strin"}, {"$ref": "http://a.example/b"}, ["x"]])
def test_a_schema_that_is_none_is_the_datasets_fault(answer: Any) -> None:
    verdict = judge('{"name": "a"}', answer)
    assert verdict.status == "infra_error"
    assert "repair the dataset" in verdict.reason


def test_a_schema_that_is_none_is_refused_as_a_parameter() -> None:
    with pytest.raises(ConfigError, match="json_schema"):
        make_verifier("json_schema", {"schema": {"type": "strin"}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(st.one_of(st.text(max_size=100), JSON.map(json.dumps)))
def test_no_text_makes_it_raise(text: str) -> None:
    assert judge(text, SCHEMA).status in ("ok", "wrong", "unparseable")
