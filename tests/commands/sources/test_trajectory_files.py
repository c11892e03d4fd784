"""The lines of an evaluation: by task and attempt, numbered as the viewer numbers them, without what is damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.commands.sources.eval_source import EvalSource
from lachesis.commands.sources.trajectory_files import eval_lines
from lachesis.verifiers.trajectory import Trajectory

Make = Callable[..., Trajectory]
Write = Callable[..., Path]


def test_lines_are_by_task_and_attempt_and_the_last_of_an_attempt_counts(
    tmp_path: Path, make: Make, write_eval: Write
) -> None:
    made = [
        (1, make("x", "b")),
        (0, make("y", "c")),
        (0, make("x", "old", 0.0)),
        (1, make("y", "d")),
        (0, make("x", "a")),
    ]
    path = write_eval(tmp_path / "s.jsonl", made)
    found = [(line.group, line.attempt) for line in eval_lines(path)]
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [b'"old"' in line.text for line in eval_lines(path)] == [False] * 4
    assert found == sorted((row.group, row.attempt) for row in EvalSource("k", path).rows())


@pytest.mark.parametrize("damage", [b"{}\n", b"\xff\xfe\n", b"\n", b'{"attempt": "x"}\n', b"[[[[\n"])
def test_a_damaged_line_is_left_out_and_told(
    tmp_path: Path, make: Make, write_eval: Write, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_eval(tmp_path / "s.jsonl", [(0, make("x", "a")), (0, make("y", "b"))])
    header, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + damage + first + second + second[:40])
    assert len(list(eval_lines(path))) == 2
    assert "1 damaged lines are left out" in caplog.text


def test_a_file_with_no_attempt_has_no_lines(tmp_path: Path, write_eval: Write) -> None:
    path = tmp_path / "s.jsonl"
    for text in ("", '{"header": {}}\n', '{"header": {}}'):
        path.write_text(text)
        assert list(eval_lines(path)) == []
