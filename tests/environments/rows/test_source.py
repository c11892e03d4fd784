"""The files of a split in a folder, however the folder is arranged."""

from pathlib import Path

import pytest

from lachesis.environments.rows.source import split_files
from lachesis.verifiers.errors import ConfigError

NAMES = {"train": "train", "test": "test"}


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")
    return root


def found(root: Path, split: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in split_files(root, split, NAMES)]


@pytest.mark.parametrize(
    ("files", "train", "test"),
    [
        (("train.jsonl", "test.jsonl", "train_old.csv"), ["train.jsonl"], ["test.jsonl"]),
        (("train.jsonl.gz", "test.parquet"), ["train.jsonl.gz"], ["test.parquet"]),
        (
            (
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet",
                "data/test-00000-of-00001.parquet",
            ),
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
            ["data/test-00000-of-00001.parquet"],
        ),
        (
            ("train/data-0.arrow", "train/state.json", "test/data-0.arrow", "dataset_dict.json", ".cache/train.json"),
            ["train/data-0.arrow"],
            ["test/data-0.arrow"],
        ),
        (("gsm8k_train.jsonl", "gsm8k_test.jsonl", "README.md"), ["gsm8k_train.jsonl"], ["gsm8k_test.jsonl"]),
        (("0.parquet", "1.parquet", "README.md"), ["0.parquet", "1.parquet"], ["0.parquet", "1.parquet"]),
    ],
)
def test_the_files_of_a_split_are_those_with_its_name(
    tmp_path: Path, files: tuple[str, ...], train: list[str], test: list[str]
) -> None:
    root = folder(tmp_path, *files)
    assert (found(root, "train"), found(root, "test")) == (train, test)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("test.jsonl",), r"holds no train\.jsonl, train\.parquet or the like; .* \(found test\.jsonl\)"),
        (("README.md",), "holds no file of rows"),
        (("train.jsonl", "train.parquet"), r"as \.jsonl and \.parquet, which may be copies"),
        (("latest.jsonl", "attest.csv"), r"as \.csv and \.jsonl"),  # no word of them is test
    ],
)
def test_a_folder_without_one_clear_answer_is_refused(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        found(folder(tmp_path, *files), "train")


def test_a_file_is_itself(tmp_path: Path) -> None:
    assert found(folder(tmp_path, "train.jsonl"), "train") == ["train.jsonl"]
    assert split_files(tmp_path / "train.jsonl", "test", NAMES) == (tmp_path / "train.jsonl",)
