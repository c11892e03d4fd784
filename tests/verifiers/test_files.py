"""Files that survive a crash: replaced as a whole, and read without an incomplete last line."""

import os
from pathlib import Path

import pytest

from lachesis.verifiers.files import cut_torn_line, new_folder, replace_text, whole_lines


def test_a_replaced_file_is_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "1")
    replace_text(path, "22")
    assert path.read_text() == "22"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_keeps_its_mode_and_a_symlink_stays_one(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "real" / "a.json", tmp_path / "a.json", tmp_path / "b.json"
    target.parent.mkdir()
    target.write_text("1")
    target.chmod(0o640)
    link.symlink_to("real/a.json")
    dangling.symlink_to("real/b.json")
    for path in (link, dangling):
        replace_text(path, "22")
        assert path.is_symlink()
        assert path.resolve().read_text() == "22"
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in target.parent.iterdir()) == ["a.json", "b.json"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    replace_text(path, "text")
    assert (os.read(reader, 10), path.is_fifo()) == (b"text", True)
    os.close(reader)


@pytest.mark.parametrize(
    ("content", "lines", "end"),
    [(b"", [], 0), (b"torn", [], 0), (b"a\nb\n", [b"a", b"b"], 4), (b"a\n\nb\nto", [b"a", b"", b"b"], 5)],
)
def test_a_torn_last_line_is_left_out_and_cut(tmp_path: Path, content: bytes, lines: list[bytes], end: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert whole_lines(path) == (lines, end)
    cut_torn_line(path)
    assert path.read_bytes() == content[:end]


def test_reading_continues_at_the_offset_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"a\nb")
    first, offset = whole_lines(path)
    with path.open("ab") as file:
        file.write(b"c\nd\n")
    assert (first, whole_lines(path, offset)) == ([b"a"], ([b"bc", b"d"], 7))


def test_a_folder_is_there_when_it_is_whole_and_remains_of_a_crash_are_not_in_it(tmp_path: Path) -> None:
    path = tmp_path / "model"

    def fill(name: str, crash: bool) -> None:
        with new_folder(path) as draft:
            (draft / name).write_text("x")
            assert not path.exists()
            if crash:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill("half", crash=True)
    assert not path.exists()
    fill("whole", crash=False)
    assert [file.name for file in path.iterdir()] == ["whole"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
