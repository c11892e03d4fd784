"""JSON Lines: each error names its line."""

from pathlib import Path

import pytest

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.rows.jsonl import read_jsonl, read_numbered_jsonl


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n  \n{"a": 2}')
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 2}]
    assert [number for number, _ in read_numbered_jsonl(path)] == [1, 4]


@pytest.mark.parametrize("bad", [b"{", b"[1]", b"5", b'{"a": "\xff"}', b'{"a": 1} {"b": 2}'])
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + bad + b"\n")
    with pytest.raises(DataError, match="line 2"):
        list(read_jsonl(path))


def test_a_missing_file_or_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            list(read_jsonl(path))
