"""Columns of a row: dotted paths, messages as prompts, and what is said of values that no task can have."""

from typing import Any

import pytest

from lachesis.environments.rows.column import column, find, first_of, matches, prompt_column, text_column
from lachesis.verifiers.errors import DataError

ROW: dict[str, Any] = {
    "a.b": "whole name",
    "model": {"truth": [{"x": 0}, None]},
    "json": '{"truth": ["7"]}',
    "none": None,
    "text": " 2 + 2? ",
    "image": {"bytes": b"\xff"},
    "nan": float("nan"),
    "messages": [
        {"role": "system", "content": "Be short.", "name": None},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
    ],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", "whole name"),
        ("model.truth.0.x", 0),
        ("model.truth.1", None),
        ("model.truth.2", None),
        ("model.truth.x", None),
        ("model.truth.-1", None),
        ("model.truth." + "9" * 5000, None),
        ("json.truth.0", "7"),
        ("text.0", None),
        ("none.x", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_path_finds_a_value_or_none(path: str, value: Any) -> None:
    assert find(ROW, path) == value


def test_what_is_missing_empty_or_not_json_is_named_by_its_column() -> None:
    with pytest.raises(DataError, match="no 'test'; did you mean 'text'"):
        column(ROW, "test")
    with pytest.raises(DataError, match="no 'none': the column is empty"):
        column(ROW, "none")
    for name in ("image", "nan"):
        with pytest.raises(DataError, match=f"column '{name}' is JSON only"):
            column(ROW, name)
    with pytest.raises(DataError, match="'model' must be a text that is not blank"):
        text_column(ROW, "model")


def test_a_prompt_is_text_or_messages_without_the_answer_at_their_end() -> None:
    assert prompt_column(ROW, "text", "Box it.") == "2 + 2?\n\nBox it."
    assert prompt_column(ROW, "messages", "Box it.") == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "2 + 2?\n\nBox it."},
    ]
    assert ROW["messages"][1]["content"] == "2 + 2?"
    for value in ([], [1], [{"role": "user"}], [{"role": "assistant", "content": "4"}], [{"content": "4"}]):
        with pytest.raises(DataError, match="'prompt'"):
            prompt_column({"prompt": value}, "prompt")


def test_rows_are_kept_by_values_of_columns() -> None:
    assert matches(ROW, {})
    assert matches(ROW, {"model.truth.0.x": 0, "a.b": ["other", "whole name"]})
    assert not matches(ROW, {"a.b": "other"})
    assert not matches(ROW, {"missing": 1})


def test_the_first_column_that_has_a_value_is_taken() -> None:
    assert first_of(ROW, ("missing", "none", "json.truth")) == "json.truth"
    assert first_of(ROW, ("missing", "none")) == "missing"
