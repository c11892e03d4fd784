"""Two evaluations compared in the terminal: the paired difference, who won, and what is no evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_two_evaluations_are_compared_task_by_task(
    tmp_path: Path, lachesis_here: Run, make: Run, write_eval: Run
) -> None:
    first, second = {"a": 1.0, "b": 0.0, "c": 0.5, "d": 1.0}, {"c": 0.5, "b": 1.0, "a": 0.75}
    write_eval(tmp_path / "1.jsonl", [(0, make(task, "x", score)) for task, score in first.items()])
    write_eval(tmp_path / "2.jsonl", [(0, make(task, "x", score)) for task, score in second.items()])
    done = lachesis_here("compare", "1.jsonl", "2.jsonl", "--tasks", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "B won 1, lost 1 and tied 1 of 3 tasks; 1 are only in A, 0 only in B" in done.stdout
    words = done.stdout.split()
    assert "+0.2500" in words  # the difference of the means, 0.75 and 0.5
    assert "+1.0000" in words  # the largest difference
    assert "-0.2500" not in words  # only one task is shown


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, lachesis_here: Run, make: Run, write_eval: Run, refused: Run
) -> None:
    write_eval(tmp_path / "1.jsonl", [(0, make("a", "x"))])
    write_eval(tmp_path / "2.jsonl", [(0, make("b", "x"))])
    refused(lachesis_here("compare", "1.jsonl", "2.jsonl", cwd=tmp_path), "no scored task in common")
    refused(lachesis_here("compare", "1.jsonl", "gone.jsonl", cwd=tmp_path), "gone.jsonl is no file")
    (tmp_path / "rows.jsonl").write_text('{"question": "?"}\n')
    refused(lachesis_here("compare", "1.jsonl", "rows.jsonl", cwd=tmp_path), "not an evaluation")
