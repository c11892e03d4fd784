"""Parquet and Arrow files: values become JSON, and torn files and bad values are named."""

import contextlib
import datetime
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.rows.arrow_file import read_arrow, read_parquet


def parquet(folder: Path, table: Any) -> Path:
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def test_values_become_json_and_nested_nulls_stay(tmp_path: Path) -> None:
    row = {
        "day": datetime.date(2024, 5, 1),
        "price": Decimal("1.50"),
        "nested": {"truth": [1, None], "none": None},
        "big": 2**62,
        "none": None,
        "image": b"\xff",
    }
    path = parquet(tmp_path, pa.Table.from_pylist([row]))
    expected = {**row, "day": "2024-05-01", "price": "1.50"}
    assert list(read_parquet(path)) == [(1, expected)]


def test_rows_are_numbered_across_batches(tmp_path: Path) -> None:
    path = parquet(tmp_path, pa.table({"a": list(range(1000))}))
    assert [(number - 1, row["a"]) for number, row in read_parquet(path)] == [(n, n) for n in range(1000)]
    table = pa.table({"a": list(range(600))})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
        writer.write_table(table)
    assert [number for number, _ in read_arrow(tmp_path / "a.arrow", is_file=True)] == list(range(1, 1201))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))
    with pytest.raises(DataError, match="two columns are named 'a'"):
        list(read_parquet(path))


def test_a_value_that_python_cannot_hold_is_named_by_row_and_column(tmp_path: Path) -> None:
    times = pa.array([0, 0, 2**62], pa.timestamp("ms"))
    path = parquet(tmp_path, pa.table({"a": [1, 2, 3], "when": times}))
    with pytest.raises(DataError, match=r"a\.parquet, row 3, column 'when': the value cannot be read"):
        list(read_parquet(path))
    bad = pa.Array.from_buffers(pa.utf8(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xe4")])
    path = parquet(tmp_path, pa.table({"text": bad}))
    with pytest.raises(DataError, match="row 1, column 'text'"):
        list(read_parquet(path))


@pytest.mark.parametrize("seed", range(40))
def test_a_torn_or_damaged_file_gives_rows_or_one_error(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    table = pa.table({"a": [f"text {n}" for n in range(50)], "b": [{"x": [n, None]} for n in range(50)]})
    path = parquet(tmp_path, table)
    content = bytearray(path.read_bytes())
    if seed % 2:
        del content[chance.randrange(4, len(content)) :]
    else:
        content[chance.randrange(4, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    with contextlib.suppress(DataError):  # any other exception fails the test
        assert len(list(read_parquet(path))) <= 50
