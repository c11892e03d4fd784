"""Answers that end with a JSON object."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.json_answer import JsonAnswer, last_json_object
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def verdict(said: str, answer: Any, field: str = "") -> Verdict:
    attempt = Trajectory(Task("q", answer), messages={"policy": ({"role": "assistant", "content": said},)})
    return asyncio.run(JsonAnswer(field).verify(Case(attempt)))


@pytest.mark.parametrize(
    ("said", "answer", "field", "status"),
    [
        ('{"a": 1, "b": 2}', {"b": 2.0, "a": 1}, "", "ok"),
        ('So:\n```json\n{"a": [true]}\n```\nDone.', {"a": [True]}, "", "ok"),
        ('{"a": 1} or {"a": 2}', {"a": 2}, "", "ok"),
        ('{"a": 1} or {"a": 2}', {"a": 1}, "", "wrong"),
        ('{"a": {"a": 1}}', {"a": 1}, "", "wrong"),
        ('{"output": 1}', True, "output", "wrong"),
        ('{"output": 1}', "1", "output", "wrong"),
        ('{"output": null}', None, "output", "ok"),
        ('{"result": 1}', 1, "output", "unparseable"),
        ('<think>{"output": 1}</think>', 1, "output", "unparseable"),
        ('<think>{"output": 1}</think>{"output": 2}', 1, "output", "wrong"),
        ('{"output": 1', 1, "output", "unparseable"),
        ("{'output': 1}", 1, "output", "unparseable"),
        ("", 1, "output", "unparseable"),
        ('{"a": 1}', None, "", "infra_error"),
    ],
)
def test_the_last_object_is_what_is_compared(said: str, answer: Any, field: str, status: str) -> None:
    assert verdict(said, answer, field).status == status


@given(st.text(st.sampled_from('{}[]":,1a\\ ')) | st.text())
def test_no_text_raises(text: str) -> None:
    verdict(text, {"a": 1})


@pytest.mark.parametrize("unit", ["{", '{"a":', '{"a":[', '{"a":1,', "{}", '{"', '[{"a":'])
def test_a_hundred_kilobytes_of_anything_are_read_in_time(unit: str) -> None:
    start = time.process_time()
    last_json_object(unit * (100_000 // len(unit)))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("end", ["", "x", "1]" + "}" * 900])
def test_a_megabyte_inside_of_what_is_no_object_is_not_read_again_for_each_brace(end: str) -> None:
    start = time.process_time()
    found = last_json_object('{"a":' * 900 + "[" + "1," * 450_000 + end)
    assert found is None
    assert time.process_time() - start < 5
