"""Files of rows: in order, in shards, whole after a crash, and read by ``datasets`` exactly as they were written."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.training_rows.row_files import MANIFEST, Format, Spool, shard_paths, write_data_set
from lachesis.verifiers.errors import InfrastructureError
from lachesis.verifiers.rows.row_file import read_rows

TALK: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "a\u2028b \ud800\0", "train": False},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
                "train": True,
            },
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {}}}}}],
        "metadata": {"reward": 1.0, "components": {"a": 1.0}},
    },
    {
        "messages": [{"role": "assistant", "content": "两百", "reasoning_content": "r", "train": True}],
        "metadata": {"reward": 0.5, "components": {"b": None}},
    },
]
TOKENS = [{"input_ids": [number, 2], "labels": [-100, 2], "metadata": {"task": str(number)}} for number in range(7)]


def written(
    folder: Path, rows: Sequence[dict[str, Any]], form: Format = "jsonl", shard: int = 100, most: int | None = None
) -> list[str]:
    with Spool(folder) as spool:
        for number in reversed(range(len(rows))):
            spool.add((number,), rows[number])
        return write_data_set(spool, folder, form, shard, most, {"kind": "test"})[1]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_datasets_reads_what_was_written(tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the test reads the files with datasets (pip install datasets)")
    clean = json.loads(json.dumps(TALK).replace("\\ud800", "\\ufffd"))
    for name, rows in {"talk": clean, "tokens": TOKENS}.items():
        (tmp_path / name).mkdir()
        written(tmp_path / name, TALK if name == "talk" else rows, form)
        found = datasets.load_dataset(str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache"))
        assert [{key: value for key, value in row.items() if value is not None} for row in found] == rows


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_our_own_reader_reads_what_was_written(tmp_path: Path, form: Format) -> None:
    (name,) = written(tmp_path, TALK, form)
    found = [{key: value for key, value in row.items() if value is not None} for row in read_rows(tmp_path / name)]
    assert found == json.loads(json.dumps(TALK).replace("\\ud800", "\\ufffd"))


def test_rows_are_in_order_in_shards_that_replace_earlier_ones(tmp_path: Path) -> None:
    names = written(tmp_path, TOKENS, shard=3)
    assert names == [f"train-0000{number}-of-00003.jsonl" for number in range(3)]
    assert [row for path in shard_paths(tmp_path) for row in read_rows(path)] == TOKENS
    (tmp_path / "train-00000-of-00009.jsonl.draft").write_text("left by a crash")
    written(tmp_path, TOKENS, "parquet", shard=4)
    assert sorted(os.listdir(tmp_path)) == [
        MANIFEST,
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    told = json.loads((tmp_path / MANIFEST).read_text())
    assert (told["kind"], told["rows"], len(told["files"])) == ("test", 7, 2)


def test_packed_rows_have_the_lengths_of_their_parts(tmp_path: Path) -> None:
    for form in ("jsonl", "parquet"):
        (name,) = written(tmp_path, TOKENS, form, most=4)  # type: ignore[arg-type]
        found = list(read_rows(tmp_path / name))
        assert [row["seq_lengths"] for row in found] == [[2, 2], [2, 2], [2, 2], [2]]
        assert found[0]["input_ids"] == [0, 2, 1, 2]


def test_no_rows_leave_a_manifest_alone(tmp_path: Path) -> None:
    written(tmp_path, TOKENS)
    for form in ("jsonl", "parquet"):
        assert written(tmp_path, [], form) == []  # type: ignore[arg-type]
        assert os.listdir(tmp_path) == [MANIFEST]


def test_a_disk_that_refuses_leaves_the_earlier_rows(tmp_path: Path) -> None:
    written(tmp_path, TOKENS)
    (tmp_path / "train-00000-of-00002.jsonl.draft").mkdir()
    with pytest.raises(InfrastructureError, match="make room"):
        written(tmp_path, TOKENS, shard=4)
    assert [path.name for path in shard_paths(tmp_path)] == ["train-00000-of-00001.jsonl"]
    assert (tmp_path / MANIFEST).exists()
