"""Mathematical problems of any dataset: its columns, its answers, and the two players."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.math import MathProblems
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task

COLUMNS = {"question": "problem", "answer": "gold"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tasks(path: Path, *rows: object, **settings: Any) -> tuple[MathProblems, list[Task]]:
    environment = MathProblems(path=write(path / "rows.jsonl", *rows), held_out=1, **settings)
    return environment, list(environment.tasks("test", 0))


def test_the_demonstration_earns_everything_and_another_answer_nothing(shared_data: Callable[[str], Path]) -> None:
    """The gold answers of Math-Verify's own tests: LaTeX, sets, intervals, units and words."""
    golds = [json.loads(line)["gold"] for line in shared_data("math_pairs.jsonl").read_text().splitlines()]
    environment = describe("math", config={"path": str(shared_data("math_edge.jsonl"))}).build()
    for gold in dict.fromkeys(gold for gold in golds if gold.strip() and r"\pm" not in gold):  # ± is no one answer
        task = environment.task_of({"question": "?", "answer": gold})  # type: ignore[attr-defined]
        assert environment.score(task, environment.demonstration(task)).total == 1.0, task
        for reply in ("", r"\boxed{}", r"\boxed{-98765}", "I do not know.", task.prompt):
            assert environment.score(task, reply).total == 0.0, (task, reply)


def test_columns_are_called_what_the_config_says(tmp_path: Path) -> None:
    row = {"problem": " 2 + 2? ", "gold": 4, "steps": "Count."}
    environment, (task,) = tasks(tmp_path, row, **COLUMNS, solution="steps", instruction="Box it.")
    assert (task.prompt, task.answer) == ("2 + 2?\n\nBox it.", "4")
    assert environment.demonstration(task) == "Count.\n\\boxed{4}"


@pytest.mark.parametrize("text", ["Half of 8 is\n#### 4", r"Half of 8 is $\boxed{4}$."])
def test_an_answer_is_taken_out_of_the_text_that_gives_it(tmp_path: Path, text: str) -> None:
    environment, (task,) = tasks(tmp_path, {"question": "8 / 2?", "answer": text})
    assert task.answer == "4"
    assert "Half" not in task.prompt
    assert environment.demonstration(task).startswith("Half of 8 is")
    assert environment.score(task, environment.demonstration(task)).total == 1.0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"problem": "?", "answer": "4"}, "no 'gold'"),
        ({"problem": "?", "gold": True}, "found True"),
        ({"problem": "?", "gold": [4, 5]}, "a list of 2"),
        ({"problem": "?", "gold": " "}, "no answer"),
        ({"problem": "?", "gold": "nan"}, "no answer"),
        ({"problem": "?", "gold": r"\frac{1}{"}, "not mathematics"),
        ({"problem": "", "gold": "4"}, "'problem' must be a text"),
    ],
)
def test_a_row_that_is_no_problem_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1: ") as raised:
        tasks(tmp_path, row, **COLUMNS)
    assert said in str(raised.value)


def test_without_a_source_the_cure_is_named() -> None:
    with pytest.raises(ConfigError, match="give path"):
        MathProblems()


CHAT = [{"role": "user", "content": "2 + 2? Use a box."}]
CONVENTIONS: dict[str, dict[str, Any]] = {
    "verl": {
        "data_source": "openai/gsm8k",
        "prompt": CHAT,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"index": 0, "split": "train"},
    },
    "dapo": {
        "data_source": "math_dapo",
        "prompt": CHAT,
        "reward_model": {"style": "rule-lighteval/MATH_v2", "ground_truth": "4"},
    },
    "tulu": {"messages": [*CHAT, {"role": "assistant", "content": "4"}], "dataset": "gsm8k", "ground_truth": "4"},
    "synthetic": {
        "problem_id": "p1",
        "task_type": "verifiable_math",
        "prompt": CHAT[0]["content"],
        "verification_info": '{"ground_truth": "4"}',
    },
}


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_rows_of_known_conventions_need_no_setting(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([CONVENTIONS[name]]), path)
    else:
        write(path, CONVENTIONS[name])
    environment = MathProblems(path=path, held_out=1)
    (task,) = environment.tasks("test", 0)
    assert task.messages == CHAT  # as the row has it, without our instruction
    assert not task.verify
    assert environment.score(task, environment.demonstration(task)).success
    assert not environment.score(task, "5").success


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"problem": "2 + 2?", "solution": r"It is $\boxed{4}$.", "answer": "4"}, "4"),  # MATH-500, OpenR1-Math
        ({"problem": "2 + 2?", "solution": r"It is $\boxed{4}$."}, "4"),  # NuminaMath
        ({"Problem": "2 + 2?", "Answer": 4, "Solution": "Count."}, "4"),  # AIME
        ({"problem": "2 + 2?", "expected_answer": ["4"]}, "4"),
        ({"question": "2 + 2?", "answer": 4.5}, "4.5"),
    ],
)
def test_usual_columns_are_found_without_a_setting(tmp_path: Path, row: dict[str, Any], answer: str) -> None:
    _, (task,) = tasks(tmp_path, row, instruction="")
    assert (task.prompt, task.answer) == ("2 + 2?", answer)


def test_dotted_columns_and_messages_are_read(tmp_path: Path) -> None:
    row = {"chat": {"turns": CHAT}, "reward_model": {"ground_truth": "4"}}
    settings = {"question": "chat.turns", "answer": "reward_model.ground_truth", "instruction": "Box it."}
    _, (task,) = tasks(tmp_path, row, **settings)
    assert task.messages == [{"role": "user", "content": "2 + 2? Use a box.\n\nBox it."}]
    assert task.answer == "4"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**CONVENTIONS["tulu"], "dataset": "ifeval", "ground_truth": '{"func_name": "x"}'}, "scored by instruction"),
        ({**CONVENTIONS["verl"], "data_source": "own"}, "data_source 'own' has no verifier here"),
    ],
)
def test_rows_that_are_no_mathematics_are_named_with_the_cure(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match="leave such rows out with `where`, or name the columns") as raised:
        tasks(tmp_path, row)
    assert "line 1: " in str(raised.value)
    assert said in str(raised.value)
