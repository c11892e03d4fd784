"""Rows of trajectories: found by every filter and text, while the file grows, is cut off, or is damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.commands.sources.row import Filter
from lachesis.commands.sources.row_index import RowIndex
from lachesis.commands.sources.trajectory_files import EvalTrajectories, RunTrajectories
from lachesis.rollout.store import TrajectoryStore
from lachesis.verifiers.trajectory import StopReason, Trajectory

Make = Callable[..., Trajectory]
Write = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, make: Make, write_run: Write) -> Path:
    steps = {
        1: [[make("2+2", "four is 4"), make("2+2", "five", 0.0)], [make("Größe?", "Straße \u202e", 0.25)]],
        2: [[make("hi", 'say "no"\n', None, environment="chat"), make("hi", "", 0.0, stop=StopReason.LENGTH)]],
        3: [[make("boom", "x", 0.0, stop=StopReason.ENVIRONMENT_ERROR, error="ValueError: bad, at toy.py:7")]],
    }
    return write_run(tmp_path / "run", steps, [{"step": step} for step in steps])


def index_of(run: Path) -> RowIndex:
    return RowIndex(RunTrajectories(run / "trajectories.jsonl.zst"))


@pytest.mark.parametrize(
    ("chosen", "text", "names"),
    [
        ({}, "", ["0/0", "0/1", "1/0", "2/0", "2/1", "3/0"]),
        ({"step": 1}, "", ["0/0", "0/1", "1/0"]),
        ({"group": 2}, "", ["2/0", "2/1"]),
        ({"environment": "chat"}, "", ["2/0"]),
        ({"stop": "length"}, "", ["2/1"]),
        ({"success": "yes"}, "", ["0/0", "1/0"]),
        ({"success": "no"}, "", ["0/1", "2/1", "3/0"]),
        ({"success": "undefined"}, "", ["2/0"]),
        ({"least": 0.2}, "", ["0/0", "1/0"]),
        ({"most": 0.25}, "", ["0/1", "1/0", "2/1", "3/0"]),
        ({"error": "*"}, "", ["3/0"]),
        ({"error": "ValueError"}, "", ["3/0"]),
        ({}, "FIVE", ["0/1"]),
        ({}, "STRAßE", ["1/0"]),
        ({}, "größe", ["1/0"]),
        ({}, 'say "NO"', ["2/0"]),
        ({}, "assistant", []),
        ({"step": 2}, "four", []),
    ],
)
def test_a_filter_and_a_text_choose_rows(run: Path, chosen: dict[str, object], text: str, names: list[str]) -> None:
    found = index_of(run).find(Filter(**chosen), text)  # type: ignore[arg-type]
    assert [f"{row.group}/{row.attempt}" for row in found.rows] == names
    assert found.complete


def test_a_row_has_what_its_trajectory_has(run: Path) -> None:
    index = index_of(run)
    row = index.find(Filter(group=1)).rows[0]
    stored = next(iter(TrajectoryStore(run / "trajectories.jsonl.zst").read(group=1))).trajectory
    assert (row.task, row.total, row.success) == (stored.task.id, 0.25, True)
    assert row.parts == (("exact", 0.25), ("length", 8.0))
    assert b'"Gr\\u00f6\\u00dfe?"' in index.text(row)
    unscored = index.find(Filter(group=2)).rows[0]
    assert (unscored.total, unscored.totals, unscored.success) == (None, (), None)
    assert index.counts()["errors"] == {}  # step 3 was not looked at
    assert index.fill(10)
    assert index.counts()["errors"] == {"ValueError: bad, at toy.py:7": 1}
    assert index.counts()["environments"] == {"toy": 5, "chat": 1}


def test_rows_follow_a_file_that_grows_and_one_that_a_resumed_run_cut_off(
    run: Path, make: Make, write_run: Write
) -> None:
    index = index_of(run)
    assert index.fill(10)
    write_run(run, {4: [[make("new", "fresh")]]}, [])
    assert [row.reply for row in index.find(Filter(step=4)).rows] == ["fresh"]
    TrajectoryStore(run / "trajectories.jsonl.zst").rewind(2)
    write_run(run, {3: [[make("again", "other")]]}, [])
    assert [row.reply for row in index.find(Filter(step=3)).rows] == ["other"]
    assert index.steps() == [1, 2, 3]
    assert (index.known, index.indexed) == (6, 6)


def test_a_damaged_step_costs_its_own_rows_and_is_named(run: Path) -> None:
    path = run / "trajectories.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[30:60] = bytes(30)
    path.write_bytes(data)
    index = index_of(run)
    assert index.fill(10)
    assert {row.step for row in index.find(Filter()).rows} == {2, 3}
    assert len(index.damages) == 1
    assert "step 1" in index.damages[0]


def test_tasks_of_an_evaluation_are_numbered_in_the_order_of_the_file(
    tmp_path: Path, make: Make, write_eval: Write
) -> None:
    attempts = [(0, make("b", "1")), (0, make("a", "2")), (1, make("b", "3")), (1, make("a", "4"))]
    path = write_eval(tmp_path / "e.jsonl", attempts)
    index = RowIndex(EvalTrajectories(path))
    assert index.fill(10)
    assert [(row.group, row.attempt, row.reply) for row in index.find(Filter()).rows] == [
        (0, 0, "1"),
        (1, 0, "2"),
        (0, 1, "3"),
        (1, 1, "4"),
    ]
    write_eval(path, [(2, make("a", "5"))])
    assert [row.reply for row in index.find(Filter(group=1)).rows] == ["2", "4", "5"]
    with path.open("a") as file:
        file.write('{"attempt": 0}\n{"attempt": 0, "task": {}, "mess')  # a row that is none, and one half written
    assert index.fill(10)
    assert len(index.find(Filter()).rows) == 5
    assert len(index.damages) == 1
