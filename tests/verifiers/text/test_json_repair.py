"""Repaired JSON: valid, and nothing changed that was right."""

import asyncio
import json
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.json_repair import JsonRepair
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

SCHEMA = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "maximum": 99},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    "required": ["age", "name"],
}
INTACT = {"age": 41, "name": "Ada", "tags": ["a", "b"], "home": {"city": "Bonn"}}
INFO = {"schema": SCHEMA, "free": [["age"], ["home", "city"]], "damages": 4}


def judge(value: Any, info: dict[str, Any] = INFO) -> Verdict:
    text = value if isinstance(value, str) else json.dumps(value)
    messages = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(JsonRepair().verify(Case(Trajectory(Task("q", INTACT, info), messages=messages))))


def test_a_lost_value_may_be_any_valid_one_and_everything_else_is_kept() -> None:
    assert judge(INTACT).passed
    assert judge(INTACT | {"age": 3, "home": {"city": "Rome"}}).passed
    assert judge(f"<think>hm</think>```json\n{json.dumps(dict(reversed(INTACT.items())))}\n```").passed
    assert judge(INTACT | {"age": 100}).reason.startswith("1 faults")
    assert not judge(INTACT | {"age": 41.5}).passed


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (INTACT | {"name": "Bob"}, 0.75),
        (INTACT | {"extra": 1}, 0.75),
        (INTACT | {"tags": ["a", "b", "c"]}, 0.75),
        (INTACT | {"tags": ["b", "a"]}, 0.5),
        (INTACT | {"home": {"city": "Bonn", "zip": 1}, "name": "Bob"}, 0.5),
        ({"age": 1, "name": ""}, 0.25),
        ({"age": 1, "name": "", "tags": [], "home": {"city": ""}, "more": 1, "most": 2}, 0.0),
    ],
)
def test_every_needless_change_costs_its_share_and_is_no_success(value: Any, score: float) -> None:
    found = judge(value)
    assert (found.score, found.status) == (score, "wrong")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", json.dumps(INTACT)[:-1], f"{json.dumps(INTACT)} done", "[" * 9999]
)
def test_what_is_not_one_valid_value_earns_nothing(text: str) -> None:
    assert judge(text).score == 0.0


@pytest.mark.parametrize(
    "info",
    [
        *({}, {"schema": 3}, {"schema": {"type": "nothing"}}, {"schema": {"type": "array"}}),
        *(INFO | {"free": "age"}, INFO | {"damages": 0}),
    ],
)
def test_a_task_that_cannot_be_judged_is_refused_when_it_is_drawn(info: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        JsonRepair().check_expected(INTACT, info)
