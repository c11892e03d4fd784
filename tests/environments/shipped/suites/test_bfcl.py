"""BFCL's own files, made by hand: rows and possible answers in two files, and what is left out of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.verifiers.errors import DataError

ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "dict",
        "properties": {"a": {"type": "integer", "description": ""}, "b": {"type": "integer", "description": ""}},
        "required": ["a", "b"],
    },
}
RIGHT = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'


def row(name: str) -> dict[str, Any]:
    return {"id": name, "question": [[{"role": "user", "content": f"What is 2 + 3, {name}?"}]], "function": [ADD]}


def answer(name: str) -> dict[str, Any]:
    return {"id": name, "ground_truth": [{"add": {"a": [2], "b": [3]}}]}


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))  # JSONL, though the leaderboard names it .json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "BFCL_v4_simple_python.json", row("simple_python_0"), row("simple_python_1"))
    write(tmp_path / "possible_answer/BFCL_v4_simple_python.json", answer("simple_python_0"), answer("simple_python_1"))
    write(tmp_path / "BFCL_v4_live_irrelevance.json", row("live_irrelevance_0-0-0"))
    write(tmp_path / "BFCL_v4_multi_turn_base.json", row("multi_turn_base_0"))
    write(tmp_path / "BFCL_v4_simple_java.json", row("simple_java_0"))
    write(tmp_path / "multi_turn_func_doc.json", {"name": "other"})
    return tmp_path


def test_single_turn_rows_are_joined_with_their_answers(folder: Path) -> None:
    environment = describe("bfcl", config={"path": str(folder)}).build()
    irrelevance, *simple = environment.tasks("test", 0)
    assert [task.id for task in simple] == ["simple_python_0", "simple_python_1"]
    assert irrelevance.info["category"] == "irrelevance"
    for task in simple:
        assert environment.score(task, environment.demonstration(task)).success
        assert environment.score(task, RIGHT).success
        assert not environment.score(task, RIGHT.replace("3", "4")).success
        assert not environment.score(task, "It is 5.").success
    assert environment.score(irrelevance, environment.demonstration(irrelevance)).success
    assert not environment.score(irrelevance, RIGHT).success


def test_categories_are_chosen(folder: Path) -> None:
    environment = describe("bfcl", config={"path": str(folder), "categories": ["irrelevance"]}).build()
    assert [task.info["category"] for task in environment.tasks("test", 0)] == ["irrelevance"]


def test_one_file_is_enough_and_a_row_without_its_answer_is_named(folder: Path) -> None:
    path = folder / "BFCL_v4_simple_python.json"
    environment = describe("bfcl", config={"path": str(path)}).build()
    assert len(list(environment.tasks("test", 0))) == 2
    (folder / "possible_answer/BFCL_v4_simple_python.json").unlink()
    with pytest.raises(
        DataError, match=r"line 1: there is no answer to 'simple_python_0'; put .*possible_answer/ beside"
    ):
        list(environment.tasks("test", 0))
