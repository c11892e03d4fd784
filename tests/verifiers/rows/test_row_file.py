"""Files of rows: every format gives the same rows, and a file that is something else is named with the cure."""

import csv
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lachesis import read_jsonl, read_rows
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.rows import row_file
from lachesis.verifiers.rows.row_file import is_row_file, read_placed_rows

ROWS: list[dict[str, Any]] = [{"question": "2 + 2?\nÄ", "answer": "4"}, {"question": "x, y", "answer": "5"}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def csv_text(delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def arrow(new: Callable[..., Any]) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(ROWS)
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


FILES = {
    "a.jsonl": JSONL,
    "a.txt": JSONL,  # an unknown name is read as JSONL
    "bom.jsonl": b"\xef\xbb\xbf" + JSONL,
    "a.jsonl.gz": gzip.compress(JSONL, mtime=0),
    "a.jsonl.zst": zstandard.compress(JSONL),
    "two.jsonl.zst": b"".join(map(zstandard.compress, JSONL.splitlines(keepends=True))),
    "unnamed.jsonl": gzip.compress(JSONL, mtime=0),
    "a.json": json.dumps(ROWS).encode(),
    "wrapped.json": json.dumps({"data": ROWS}).encode(),
    "lines.json": JSONL,
    "a.csv": csv_text(","),
    "bom.csv": b"\xef\xbb\xbf" + csv_text(","),
    "a.tsv": csv_text("\t"),
    "a.csv.gz": gzip.compress(csv_text(","), mtime=0),
    "a.parquet": parquet(),
    "misnamed.jsonl": parquet(),
    "a.arrow": arrow(pa.ipc.new_file),
    "stream.arrow": arrow(pa.ipc.new_stream),
}


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, FILES[name])
    assert list(read_rows(path)) == ROWS
    places = [place for place, _ in read_placed_rows(path)]
    assert [place.endswith((f"line {number}", f"row {number}")) for number, place in enumerate(places, 1)] == [True] * 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.csv.zst"])
def test_an_empty_file_has_no_rows_unless_it_had_to_be_json(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, b"")
    if name == "a.json":
        with pytest.raises(DataError, match="not JSON"):
            list(read_rows(path))
    else:
        assert list(read_rows(path)) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2: expected a JSON object, found list"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xe4"}\n', "line 2: not JSON"),
        ("a.jsonl", JSONL.decode().encode("utf-16"), "is UTF-16; convert it to UTF-8"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "line 1: not JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of Git LFS"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is not a Parquet file"),
        ("a.jsonl", b"PK\x03\x04rest", "is a zip archive; unpack it"),
        ("a.jsonl.gz", gzip.compress(JSONL, mtime=0)[:-9], "cannot read"),
        ("a.jsonl.gz", b"\x1f\x8bnothing", "cannot read"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfdnothing", "cannot read"),
        ("a.parquet.gz", gzip.compress(parquet(), mtime=0), "unpack it first"),
        ("a.json", b"[1]", "row 1: expected an object, found 1"),
        ("a.json", b"3", "expected a list of objects, found int"),
        ("a.json", b'[{"a": 1}', "not JSON"),
        ("a.csv", b"a,a\n1,2\n", "two columns are named 'a'"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "row 2: 3 fields for 2 columns"),
        ("a.csv", b"a,b\n1,2\n1\n", "row 2: 1 fields for 2 columns"),
        ("a.csv", b"a\n\xe4\n", "not UTF-8"),
        ("a.csv", b'a\n"1\n', "row 1: not CSV"),
    ],
)
def test_a_file_that_is_something_else_is_named_with_its_row(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError) as raised:
        list(read_rows(path))
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


def test_a_compressed_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lachesis.verifiers.rows.jsonl.MAX_LINE", 1 << 16)
    path = write(tmp_path, "bomb.jsonl.gz", gzip.compress(b" " * (1 << 22)))
    with pytest.raises(DataError, match="line 1 is longer than"):
        list(read_rows(path))
    monkeypatch.setattr(row_file, "_MAX_JSON", 1 << 16)
    path = write(tmp_path, "bomb.json.gz", gzip.compress(b" " * (1 << 22)))
    with pytest.raises(DataError, match="is JSON of more than"):
        list(read_rows(path))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.parquet", tmp_path):
        with pytest.raises(DataError, match=f"cannot read {path}"):
            list(read_rows(path))


def test_a_reader_of_jsonl_says_that_a_file_is_parquet(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", parquet())
    with pytest.raises(DataError, match=r"is a Parquet file, and JSONL is needed here; lachesis\.read_rows reads both"):
        list(read_jsonl(path))


def test_a_long_field_of_csv_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"a\n" + b"x" * 300_000 + b"\n")
    assert [len(row["a"]) for row in read_rows(path)] == [300_000]


def test_names_of_files_of_rows() -> None:
    names = ("a.jsonl", "a.json.gz", "a.csv.zst", "a.parquet", "a.arrow")
    assert all(is_row_file(Path(name)) for name in names)
    assert not any(is_row_file(Path(name)) for name in ("a.md", "a.parquet.gz", "a.gz", "jsonl", "a.py"))


def test_a_stream_that_claims_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    claims = struct.pack("<iI", -1, 0x7FFFFFF0)  # the marker of a message, and the length of its metadata
    path = write(tmp_path, "claims.arrow", claims + b"\0" * 64)
    with pytest.raises(DataError, match="torn or malformed Arrow file"):
        list(read_rows(path))
    footer = parquet()[:-8] + struct.pack("<I", 0x7FFFFFF0) + b"PAR1"
    with pytest.raises(DataError, match="torn or malformed Parquet file"):
        list(read_rows(write(tmp_path, "claims.parquet", footer)))
