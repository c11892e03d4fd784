"""The file of verdicts: it is gone on with where it stopped, and only with the rows that it was made of."""

import json
from pathlib import Path

import pytest

from lachesis.commands.verify.line import lines_of
from lachesis.commands.verify.verdict_file import VerdictFile, verdict_row
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.verdict import infra_error, passed


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"row": {n}}}\n' for n in range(4)))
    return path


@pytest.fixture
def out(tmp_path: Path, source: Path) -> Path:
    """Verdicts on the first two rows."""
    path = tmp_path / "made" / "out.jsonl"
    lines = lines_of(source)
    with VerdictFile(path, source, lines) as file:
        file.add([verdict_row(next(lines), passed("yes"))])
        file.add([verdict_row(next(lines), infra_error("no"))])
    return path


def numbers_left(out: Path, source: Path) -> list[int]:
    lines = lines_of(source)
    with VerdictFile(out, source, lines):
        return [line.number for line in lines]


def test_what_is_there_is_taken_over_with_its_counts(out: Path, source: Path) -> None:
    lines = lines_of(source)
    with VerdictFile(out, source, lines) as file:
        assert file.counts == {"ok": 1, "infra_error": 1}
        file.add([verdict_row(line, passed()) for line in lines])
    digests = [json.loads(line)["row"] for line in out.read_text().splitlines()]
    assert digests == [line.digest for line in lines_of(source)]


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_that_was_cut_off_is_judged_again(out: Path, source: Path, cut: int) -> None:
    whole = out.read_bytes()
    out.write_bytes(whole[:-cut])
    assert numbers_left(out, source) == [2, 3, 4]
    assert out.read_bytes() == whole[: whole.index(b"\n") + 1]


def test_rows_that_were_changed_or_moved_are_refused_and_the_verdicts_stay(out: Path, source: Path) -> None:
    before, rows = out.read_bytes(), source.read_text()
    for changed in (rows.replace(": 1", ": 7"), "".join(reversed(rows.splitlines(keepends=True)))):
        source.write_text(changed)
        with pytest.raises(DataError, match="changed since; choose another -o"):
            numbers_left(out, source)
        assert out.read_bytes() == before


def test_rows_that_came_later_and_blank_lines_change_nothing(out: Path, source: Path) -> None:
    source.write_text("\n" + source.read_text().replace("\n", "\r\n") + '{"row": 9}')
    assert numbers_left(out, source) == [4, 5, 6]


def test_more_verdicts_than_rows_are_of_another_file(out: Path, source: Path) -> None:
    source.write_text('{"row": 0}\n')
    with pytest.raises(DataError, match=r"more verdicts than .* has rows"):
        numbers_left(out, source)


ODD = ["[1]\n", "\n", '{"score": 1.0, "status": "ok"}\n', "\0\0\0\n", '{"row": 1}\n', '{"status": [], "row": "a"}\n']


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_verdict_is_refused_by_its_line(out: Path, source: Path, text: str) -> None:
    out.write_text(out.read_text() + text)
    before = out.read_bytes()
    with pytest.raises(DataError, match="line 3: not a verdict"):
        numbers_left(out, source)
    assert out.read_bytes() == before


def test_the_rows_themselves_are_never_written_over(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(ConfigError, match="is the file that is scored"):
        VerdictFile(tmp_path / "link", source, lines_of(source))


def test_two_commands_do_not_write_one_file(out: Path, source: Path) -> None:
    with VerdictFile(out, source, lines_of(source)), pytest.raises(ConfigError, match="by another command"):
        numbers_left(out, source)


def test_a_place_that_cannot_be_written_is_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory; choose another -o"):
        VerdictFile(tmp_path, source, lines_of(source))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said_with_the_cure(source: Path) -> None:
    lines = lines_of(source)
    with (
        VerdictFile(Path("/dev/full"), source, lines) as file,
        pytest.raises(InfrastructureError, match=r"No space left .* run the same command again"),
    ):
        file.add([verdict_row(next(lines), passed())])
