"""Rows of preference pairs: with a prompt, or with the one that both conversations begin with."""

from typing import Any

import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.datasets.preference import read_pair
from lachesis.verifiers.errors import DataError


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer.load(str(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=16, layers=1)))


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def trained(row: dict[str, Any], renderer: Renderer) -> list[tuple[list[int], str]]:
    pair = read_pair(row, renderer)
    return [(one.tokens.tolist(), renderer.decode(one.tokens[one.mask], ())) for side in pair.sides for one in side]


def test_each_form_of_a_pair_has_the_same_samples(renderer: Renderer) -> None:
    asked, good, bad = said("user", "1+2"), said("assistant", "3"), said("assistant", "4")
    expected = trained({"prompt": "1+2", "chosen": "3", "rejected": "4", "margin": 1.0}, renderer)
    assert [text for _, text in expected] == ["3<|im_end|>", "4<|im_end|>"]
    assert trained({"prompt": [asked], "chosen": [good], "rejected": [bad]}, renderer) == expected
    assert trained({"chosen": [asked, good], "rejected": [asked, bad], "prompt": None}, renderer) == expected


def test_replies_that_both_conversations_begin_with_are_context(renderer: Renderer) -> None:
    common = [said("user", "1+2"), said("assistant", "3"), said("user", "2+2")]
    row = {"chosen": [*common, said("assistant", "4")], "rejected": [*common, said("assistant", "5")]}
    assert [text for _, text in trained(row, renderer)] == ["4<|im_end|>", "5<|im_end|>"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x", "chosen": "y"}, "the row has no 'rejected', but 'prompt', 'chosen'"),
        ({}, "the row has no 'chosen', but nothing"),
        ({"chosen": "y", "rejected": "z"}, "column 'chosen' is a text, so the row needs a 'prompt'"),
        ({"prompt": "x", "chosen": "y", "rejected": 3}, "column 'rejected' must be a text or a list of messages"),
    ],
)
def test_what_is_no_pair_is_refused_with_its_column(renderer: Renderer, row: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_pair(row, renderer)
    assert message in str(caught.value)
