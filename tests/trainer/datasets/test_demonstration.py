"""Rows of supervised training in each form, and the errors of those that are none."""

from typing import Any

import numpy as np
import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.datasets.demonstration import read_demonstration
from lachesis.verifiers.errors import DataError


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer.load(str(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=16, layers=1)))


def tokens(row: dict[str, Any], renderer: Renderer) -> list[tuple[list[int], list[bool]]]:
    return [(one.tokens.tolist(), one.mask.tolist()) for one in read_demonstration(row, renderer).samples]


def test_the_same_conversation_has_the_same_samples_in_each_form(renderer: Renderer) -> None:
    asked, answered = {"role": "user", "content": "1+2"}, {"role": "assistant", "content": "3"}
    expected = tokens({"messages": [asked, answered], "reward": 0.5}, renderer)
    ((ids, mask),) = expected
    labels = [token if kept else -100 for token, kept in zip(ids, mask, strict=True)]
    rows: list[dict[str, Any]] = [
        {"prompt": "1+2", "completion": "3", "messages": None},
        {"prompt": [asked], "completion": [answered]},
        {"prompt": [asked], "completion": "3"},
        {"input_ids": ids, "labels": labels},
        {"input_ids": ids, "labels": labels, "messages": "ignored"},
    ]
    assert [tokens(row, renderer) for row in rows] == [expected] * len(rows)


def test_replies_in_a_prompt_are_context(renderer: Renderer) -> None:
    prompt = [
        {"role": "user", "content": "1+2"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "?"},
    ]
    ((ids, mask),) = tokens({"prompt": prompt, "completion": "4"}, renderer)
    assert sum(mask) == 2
    assert renderer.decode(np.asarray(ids[-2:], np.int32)) == "4"


def test_a_packed_row_is_taken_apart(renderer: Renderer) -> None:
    row = {"input_ids": [5, 6, 7, 8, 9], "labels": [5, 6, -100, 8, 9], "seq_lengths": [2, 3]}
    assert tokens(row, renderer) == [([5, 6], [False, True]), ([7, 8, 9], [False, True, True])]


MESSAGE = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "the row has neither 'messages'"),
        ({"text": "x"}, "but 'text'; rename its columns"),
        ({"chosen": "a", "rejected": "b"}, "lachesis dpo trains on such rows"),
        ({"messages": []}, "column 'messages' must be a text or a list"),
        ({"messages": [MESSAGE, {"role": "bot", "content": "x"}]}, "column 'messages', message 2 needs a role among"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "message 1 needs a role among"),
        ({"messages": [{"role": "user", "content": 3}]}, "message 1: its content must be a text, found 3"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "its content must be a text"),
        ({"messages": [{**MESSAGE, "train": True}]}, "only messages of the assistant can be trained"),
        ({"messages": [{"role": "assistant", "content": "x", "train": 1}]}, "'train' must be true or false, found 1"),
        ({"messages": [MESSAGE, {"role": "assistant", "tool_calls": [{"name": ""}]}]}, "needs a function with a name"),
        (
            {"messages": [MESSAGE, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]},
            "arguments of a tool call must be an object",
        ),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "an empty conversation has no prompt"),
        ({"messages": [MESSAGE], "tools": "["}, "column 'tools' is a text that is not JSON"),
        ({"messages": [MESSAGE], "tools": [1]}, "column 'tools' must be a list of JSON schemas"),
        ({"input_ids": [1, 2]}, "has 'input_ids' but no 'labels'"),
        ({"input_ids": [1, 2], "labels": [1]}, "column 'labels' has 1 items and 'input_ids' 2"),
        ({"input_ids": [1, 2], "labels": [1, 3]}, "column 'labels', item 1: a label is the token itself"),
        ({"input_ids": [1, 10**6], "labels": [1, -100]}, "column 'input_ids', item 1: the model has tokens 0 to"),
        ({"input_ids": [1, -1], "labels": [1, -100]}, "found -1; was the row made with another tokenizer"),
        ({"input_ids": [1, 2.0], "labels": [1, 2]}, "column 'input_ids' must be a list of whole numbers"),
        ({"input_ids": [1, 2], "labels": [1, 2], "seq_lengths": [3]}, "column 'seq_lengths' must sum to the 2 items"),
    ],
)
def test_what_is_no_row_is_refused_with_its_column(renderer: Renderer, row: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_demonstration(row, renderer)
    assert message in str(caught.value)
