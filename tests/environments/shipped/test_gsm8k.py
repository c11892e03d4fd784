"""GSM8K: the rows, their faults, and every gold answer."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.gsm8k import Gsm8k
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.math.answer import Math, _workers
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

ROW = {"question": "How many legs have two dogs?", "answer": "Each has four.\n2*4=<<2*4=8>>8\n#### 8"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_every_gold_answer_verifies_and_every_answer_off_by_one_does_not(
    shared_data: Callable[[str], Path], every: int
) -> None:
    """All 700 + 7,473 problems, or each fourth; each way of writing the answer, without a worker."""
    environment = Gsm8k(path=shared_data("gsm8k_test.jsonl").parent)
    tasks = [*environment.tasks("test", 0), *environment.tasks("train", 0)]
    assert len(tasks) == 8173
    math = Math()

    async def status(task: Task, text: str) -> str:
        message = {"role": "assistant", "content": text}
        return (await math.verify(Case(Trajectory(task, messages={"policy": (message,)})))).status  # type: ignore[dict-item]

    async def check() -> None:
        for task in tasks[::every]:
            right = int(task.answer.replace(",", ""))
            assert await status(task, environment.demonstration(task)) == "ok", task
            for wording in (r"\boxed{%s}", "The answer is %s.", "He earns $%s."):
                assert await status(task, wording % f"{right:,}") == "ok", task
                assert await status(task, wording % (right + 1)) == "wrong", task
            assert await status(task, f"#### {right - 1:,}") == "wrong", task

    started = _workers.cache_info().misses
    asyncio.run(check())
    assert _workers.cache_info().misses == started


def test_a_task_asks_the_question_and_hides_the_solution(tmp_path: Path) -> None:
    environment = Gsm8k(path=write(tmp_path / "rows.jsonl", ROW))
    (task,) = environment.tasks("test", 0)
    assert task.prompt == f"{ROW['question']}\n\n{environment.config.instruction}"
    assert task.answer == "8"
    assert environment.score(task, environment.demonstration(task)).total == 1.0
    assert environment.score(task, r"<think>easy</think> \boxed{9}").total == 0.0
    bare = Gsm8k(path=tmp_path / "rows.jsonl", instruction="")
    assert next(iter(bare.tasks("test", 0))).prompt == ROW["question"]


def test_train_is_shuffled_by_seed_and_test_stays_in_file_order(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *({"question": f"{n}?", "answer": f"#### {n}"} for n in range(50)))
    environment = Gsm8k(path=path)

    def answers(split: str, seed: int) -> list[int]:
        return [int(task.answer) for task in environment.tasks(split, seed)]  # type: ignore[arg-type]

    assert answers("test", 0) == answers("test", 1) == list(range(50))
    assert answers("train", 0) == answers("train", 0) != answers("train", 1)
    assert sorted(answers("train", 1)) == list(range(50))


@pytest.mark.parametrize("pattern", ["{}.jsonl", "gsm8k_{}.jsonl"])
def test_a_folder_holds_a_file_for_each_split(tmp_path: Path, pattern: str) -> None:
    write(tmp_path / pattern.format("test"), ROW)
    write(tmp_path / pattern.format("train"), ROW, ROW)
    environment = Gsm8k(path=tmp_path)
    assert [len(list(environment.tasks(split, 0))) for split in ("test", "train")] == [1, 2]


def test_a_folder_without_the_split_says_which_file_it_wants(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"test\.jsonl"):
        list(Gsm8k(path=tmp_path).tasks("test", 0))


def test_a_missing_or_an_empty_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file or folder .*none\.jsonl exists; give a file"):
        list(Gsm8k(path=tmp_path / "none.jsonl").tasks("test", 0))
    with pytest.raises(DataError, match="no problems in split 'test'"):
        list(Gsm8k(path=write(tmp_path / "empty.jsonl")).tasks("test", 0))


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q"},
        {"answer": "#### 1"},
        {"question": "q", "answer": 1},
        {"question": " ", "answer": "#### 1"},
        {"question": "q", "answer": "1"},
        {"question": "q", "answer": "one ####  "},
        [1],
    ],
)
def test_a_row_that_is_no_problem_is_named_by_its_line(tmp_path: Path, row: object) -> None:
    path = write(tmp_path / "rows.jsonl", ROW, row)
    with pytest.raises(DataError, match="line 2"):
        list(Gsm8k(path=path).tasks("test", 0))


def test_path_and_dataset_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Gsm8k(path="a.jsonl", dataset="openai/gsm8k")


def test_a_dataset_without_the_package_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="pip install datasets"):
        list(Gsm8k().tasks("test", 0))


def test_a_dataset_may_be_a_local_folder(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    write(tmp_path / "train.jsonl", ROW, ROW)
    write(tmp_path / "test.jsonl", ROW)
    (task,) = Gsm8k(dataset=str(tmp_path), name=None).tasks("test", 0)
    assert task.answer == "8"
    with pytest.raises(ConfigError, match="cannot load dataset"):
        list(Gsm8k(dataset=str(tmp_path / "none"), name=None).tasks("test", 0))


def test_it_is_built_by_its_name(tmp_path: Path) -> None:
    spec = describe("gsm8k", config={"path": str(write(tmp_path / "rows.jsonl", ROW))}, weights={"format": 0.5})
    assert spec.build().rubric.weights == {"math": 1.0, "format": 0.5}
