"""Overrides from the command line: how they are read, and which ones are refused."""

from typing import Any

import pytest

from lachesis.trainer.overrides import parse_overrides, parts_of
from lachesis.verifiers.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        (["--trainer.lr", "1e-5", "--name=x"], [("trainer.lr", 1e-5), ("name", "x")]),
        (["--a", "true", "--b", "[1, 2]", "--c", '"3"'], [("a", True), ("b", [1, 2]), ("c", "3")]),
        (["--a", "-1", "--b=", "--c", "x=y"], [("a", -1), ("b", ""), ("c", "x=y")]),
        (["--path", "./my model"], [("path", "./my model")]),
    ],
)
def test_overrides_are_toml_or_text(words: list[str], pairs: list[tuple[str, Any]]) -> None:
    assert parse_overrides(words) == pairs


def test_overrides_are_sorted_by_their_part() -> None:
    words = ["--config.digits", "2", "--sandbox.size=3", "--config.deep.key", "x"]
    assert parts_of(words, config={}, sandbox={}) == {
        "config": {"digits": 2, "deep": {"key": "x"}},
        "sandbox": {"size": 3},
    }


@pytest.mark.parametrize("word", ["--confg.digits=2", "--config=2"])
def test_an_override_of_no_part_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="there are no settings"):
        parts_of([word], sandbox={})
