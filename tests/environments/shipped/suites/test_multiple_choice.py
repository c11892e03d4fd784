"""GPQA, MMLU and ARC on rows made by hand: the published prompt, the right option, and rows that are broken."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lachesis.environments.loading import describe
from lachesis.verifiers.errors import DataError

GPQA = {
    "Record ID": "rec1",
    "Question": "Which planet is the largest?",
    "Correct Answer": "Jupiter",
    "Incorrect Answer 1": "Mars",
    "Incorrect Answer 2": "Venus",
    "Incorrect Answer 3": "Earth",
}
MMLU = {
    "question": "What is 2 + 2?",
    "subject": "elementary_mathematics",
    "choices": ["3", "4", "5", "6"],
    "answer": 1,
}
ARC = {
    "id": "Mercury_1",
    "question": "What boils?",
    "choices": {"text": ["ice", "water", "sand"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
ARC_OF_THE_AUTHORS = {
    "id": "Mercury_1",
    "question": {
        "stem": "What boils?",
        "choices": [{"text": "ice", "label": "A"}, {"text": "water", "label": "B"}, {"text": "sand", "label": "C"}],
    },
    "answerKey": "B",
}


def environment_of(folder: Path, name: str, *rows: dict[str, Any], **settings: Any) -> Any:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return describe(name, config={"path": str(path), "splits": {"test": "test"}, **settings}).build()


@pytest.mark.parametrize(
    ("name", "row", "option"),
    [("gpqa", GPQA, "Jupiter"), ("mmlu", MMLU, "4"), ("arc", ARC, "water"), ("arc", ARC_OF_THE_AUTHORS, "water")],
)
def test_the_right_letter_in_the_published_form_is_the_only_success(
    tmp_path: Path, name: str, row: dict[str, Any], option: str
) -> None:
    environment = environment_of(tmp_path, name, row)
    (task,) = environment.tasks("test", 0)
    letters = "ABCD"[: len(task.info["options"])]
    assert task.prompt.startswith("Answer the following multiple choice question. The last line of your response")
    assert f"where LETTER is one of {letters}. Think step by step" in task.prompt
    assert task.prompt.endswith("\n".join(f"{a}) {b}" for a, b in zip(letters, task.info["options"], strict=True)))
    assert task.info["options"][letters.index(task.answer)] == option
    passed = [letter for letter in letters if environment.score(task, f"So it is this.\nAnswer: {letter}").success]
    assert passed == [task.answer]
    assert environment.score(task, environment.demonstration(task)).success
    assert not environment.score(task, "I do not know.").success


def test_the_options_of_gpqa_are_shuffled_by_the_question(tmp_path: Path) -> None:
    rows = [{**GPQA, "Question": f"Which planet is the largest, {number}?"} for number in range(40)]
    tasks = list(environment_of(tmp_path, "gpqa", *rows).tasks("test", 0))
    assert {task.answer for task in tasks} == set("ABCD")
    assert [task.answer for task in tasks] == [
        task.answer for task in environment_of(tmp_path, "gpqa", *rows).tasks("test", 1)
    ]


def test_a_folder_of_the_hub_is_read_with_its_configuration(tmp_path: Path) -> None:
    for name, answer in (("ARC-Challenge", "2"), ("ARC-Easy", "1")):
        (tmp_path / name).mkdir()
        table = pa.Table.from_pylist([{**ARC, "answerKey": answer}])
        pq.write_table(table, tmp_path / name / "test-00000-of-00001.parquet")
    for name, answer in (("ARC-Challenge", "B"), ("ARC-Easy", "A")):
        environment = describe("arc", config={"path": str(tmp_path), "name": name}).build()
        assert [task.answer for task in environment.tasks("test", 0)] == [answer]


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("gpqa", {**GPQA, "Incorrect Answer 3": None}, "no 'Incorrect Answer 3'"),
        ("mmlu", {**MMLU, "answer": 4}, "the answer is the index 4, and there are 4 options"),
        ("mmlu", {**MMLU, "answer": True}, "found True"),
        ("mmlu", {**MMLU, "choices": ["3"]}, "list of 2 to 10 options"),
        ("mmlu", {**MMLU, "choices": ["3", None, "5", "6"]}, "options must be texts"),
        ("mmlu", {**MMLU, "choices": 7}, "list of 2 to 10 options"),
        ("arc", {**ARC, "answerKey": "E"}, "one of the labels 1, 2, 3, found 'E'"),
        ("arc", {**ARC, "choices": {"text": ["ice"]}}, "no 'choices.label'"),
        ("arc", {**ARC, "choices": "ice"}, "no 'choices.text'"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, name: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1: ") as raised:
        list(environment_of(tmp_path, name, row).tasks("test", 0))
    assert said in str(raised.value)
