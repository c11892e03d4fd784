"""Rows as tasks: where they come from, how the two splits stay apart, and what is said of rows that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.dataset import DatasetConfig, DatasetEnvironment
from lachesis.environments.rows.column import Row, column, text_column
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task


class Capitals(DatasetEnvironment):
    """Asks as the row does."""

    def task_of(self, row: Row) -> Task | None:
        return None if row.get("skip") else Task(text_column(row, "question"), answer=column(row, "answer"))


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(count: int, start: int = 0) -> list[Row]:
    return [{"question": f"{number}?", "answer": number} for number in range(start, start + count)]


def prompts(split: str, seed: int = 0, **settings: Any) -> list[Any]:
    return [task.prompt for task in Capitals(**settings).tasks(split, seed)]  # type: ignore[arg-type]


def test_one_file_is_told_apart_by_prompt_and_no_order_of_rows_changes_that(tmp_path: Path) -> None:
    many = rows(400)
    path = write(tmp_path / "a.jsonl", *many, *many[:50])  # some rows come twice
    test, train = prompts("test", path=path), prompts("train", path=path)
    assert not set(test) & set(train)
    assert len(test) + len(train) == 450
    assert 20 <= len(set(test)) <= 60
    backwards = write(tmp_path / "b.jsonl", *reversed(many))
    assert set(prompts("test", path=backwards)) == set(test)


def test_the_training_split_follows_the_seed_and_the_test_split_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *rows(100))
    assert prompts("train", 1, path=path) == prompts("train", 1, path=path) != prompts("train", 2, path=path)
    assert prompts("test", 1, path=path) == prompts("test", 2, path=path)
    numbers = [int(prompt[:-1]) for prompt in prompts("test", path=path)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(("held_out", "test", "train"), [(0, 5, 5), (1, 5, None)])
def test_a_share_of_nothing_shares_the_file_and_one_of_all_takes_it(
    tmp_path: Path, held_out: float, test: int, train: int | None
) -> None:
    path = write(tmp_path / "rows.jsonl", *rows(5))
    assert len(prompts("test", path=path, held_out=held_out)) == test
    if train is not None:
        assert len(prompts("train", path=path, held_out=held_out)) == train
        return
    with pytest.raises(DataError, match="no problems in split 'train'; held_out = 1"):
        prompts("train", path=path, held_out=held_out)


def test_files_of_a_folder_are_whole_splits_under_the_names_that_they_have(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *rows(3))
    write(tmp_path / "dev.jsonl", *rows(2, start=10))
    splits = {"train": "train", "test": "dev"}
    assert prompts("test", path=tmp_path, splits=splits) == ["10?", "11?"]
    assert len(prompts("train", path=tmp_path, splits=splits)) == 3
    with pytest.raises(
        ConfigError, match=r"holds no test\.jsonl, test\.parquet or the like; put one there or name a file"
    ):
        prompts("test", path=tmp_path)


def test_one_split_may_serve_as_both_and_is_told_apart_too(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", *rows(100))
    splits = {"train": "test", "test": "test"}
    test, train = prompts("test", path=tmp_path, splits=splits), prompts("train", path=tmp_path, splits=splits)
    assert not set(test) & set(train)
    assert len(test) + len(train) == 100


def test_a_dataset_of_the_hub_may_be_a_local_folder(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    write(tmp_path / "test.jsonl", *rows(4))
    assert len(prompts("test", dataset=str(tmp_path))) == 4


def test_a_row_may_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *rows(2), {"skip": True})
    assert len(prompts("test", path=path, held_out=0)) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "?", "answer": 1}, "no 'question'; known: answer, query"),
        ({"question": "?", "answer": None}, "no 'answer'"),
        ({"question": " ", "answer": 1}, "'question' must be a text that is not blank"),
        ({"question": 5, "answer": 1}, "found 5"),
    ],
)
def test_a_row_that_is_no_task_is_named_by_file_and_line(tmp_path: Path, row: Row, said: str) -> None:
    path = write(tmp_path / "rows.jsonl", *rows(1), row)
    with pytest.raises(DataError) as raised:
        prompts("test", path=path)
    assert str(raised.value).startswith(f"{path}, line 2: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give path"),
        ({"path": "a.jsonl", "dataset": "b"}, "not both"),
        ({"path": "a.jsonl", "splits": {"dev": "train"}}, "must name train and test, or one of them"),
        ({"path": "a.jsonl", "held_out": 2}, "held_out"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Capitals(**settings)


def test_a_benchmark_with_one_split_can_be_evaluated(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", *rows(5))
    assert len(prompts("test", path=tmp_path)) == 5
    only = {"path": tmp_path / "test.jsonl", "splits": {"test": "test"}}
    assert len(prompts("test", **only)) == 5
    with pytest.raises(ConfigError, match=r"holds no train\.jsonl"):
        prompts("train", path=tmp_path)
    with pytest.raises(ConfigError, match="has no split 'train'"):
        prompts("train", **only)


def test_an_environment_says_which_splits_it_has(tmp_path: Path) -> None:
    file = write(tmp_path / "test.jsonl", *rows(5))
    assert Capitals(path=file).splits == ("train", "test")
    assert Capitals(path=file, held_out=0).splits == ("train", "test")
    assert Capitals(path=file, held_out=1).splits == ("test",)
    assert Capitals(path=file, splits={"test": "test"}).splits == ("test",)
    assert Capitals(path=tmp_path).splits == ("test",)
    assert Capitals(path=tmp_path / "none").splits == ("train", "test")
    assert Capitals(dataset="an/id").splits == ("train", "test")


def test_rows_are_chosen_by_their_columns_and_limited(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *({**row, "info": {"level": n % 3}} for n, row in enumerate(rows(30))))
    kept = prompts("test", path=path, held_out=1, where={"info.level": [0, 2]})
    assert kept == [f"{n}?" for n in range(30) if n % 3 != 1]
    assert prompts("test", path=path, held_out=1, where={"info.level": 0}, limit=2) == ["0?", "3?"]
    with pytest.raises(DataError, match=r"no problems in split 'test'.*where = .* leaves rows out"):
        prompts("test", path=path, where={"info.level": 7})


def test_the_seed_of_the_split_decides_what_is_held_out(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *rows(200))
    first, other = (set(prompts("test", path=path, held_out=0.5, split_seed=seed)) for seed in (0, 1))
    assert first != other
    assert first == set(prompts("test", path=path, held_out=0.5))


def test_a_folder_of_parts_is_one_source(tmp_path: Path) -> None:
    write(tmp_path / "part-0.jsonl", *rows(100))
    write(tmp_path / "part-1.jsonl", *rows(100, start=100))
    test, train = prompts("test", path=tmp_path), prompts("train", path=tmp_path)
    assert not set(test) & set(train)
    assert len(test) + len(train) == 200


def test_an_author_who_wrote_no_task_of_is_told(tmp_path: Path) -> None:
    class Empty(DatasetEnvironment):
        Config = DatasetConfig

    with pytest.raises(NotImplementedError, match="Empty has no task_of"):
        list(Empty(path=write(tmp_path / "rows.jsonl", {})).tasks("test", 0))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no file or folder .*none\.jsonl exists; give .* a folder with one for each split"
    ):
        prompts("test", path=tmp_path / "none.jsonl")
