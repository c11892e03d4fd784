"""Tasks: what is not JSON is refused, the content is the identity, and JSON changes nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.task import Task

NAN = float("nan")


@pytest.mark.parametrize(
    "prompt",
    [
        5,
        [],
        None,
        [{"role": "robot", "content": "hi"}],
        [{"role": ["user"], "content": "hi"}],
        [{"content": "hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user"}],
        ["hi"],
    ],
)
def test_a_task_refuses_a_prompt_that_is_neither_text_nor_messages(prompt: Any) -> None:
    with pytest.raises(DataError):
        Task(prompt)


@pytest.mark.parametrize("fields", [{"answer": {1}}, {"answer": NAN}, {"info": {"f": len}}, {"verify": ({"x": b""},)}])
def test_a_task_refuses_what_is_not_json(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="JSON"):
        Task("q", **fields)


def test_a_tasks_identity_is_its_content_and_not_its_name() -> None:
    assert Task("q", "a").hash == Task("q", "a", id="mine").hash
    assert len({Task("q").hash, Task("r").hash, Task("q", "a").hash, Task("q", info={"k": 1}).hash}) == 4
    assert Task("q").id == Task("q").hash


@given(st.data(), st.text(), st.text())
def test_any_task_survives_json(
    json_values: st.SearchStrategy[Any], data: st.DataObject, prompt: str, name: str
) -> None:
    answer, info = data.draw(json_values), data.draw(st.dictionaries(st.text(), json_values, max_size=3))
    task = Task(prompt, answer, info, name, ({"verifier": "math"},))
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert again.hash == task.hash
