"""Trajectories on disk: what is written is read, from the middle too, and a crash costs at most the last step."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard

from lachesis.rollout.store import Frame, TrajectoryStore, listed
from lachesis.verifiers.errors import DataError, InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict


def group(index: int, samples: int = 2) -> Group:
    task = Task(f"question {index}", answer=str(index))
    segment = Segment(
        tokens=np.array([5, 6, 7], np.int32),
        sampled=np.array([False, True, True]),
        mask=np.array([False, True, True]),
        logprobs=np.array([np.nan, -0.5, -1.25], np.float32),
        versions=np.array([-1, 3, 3], np.int32),
    )
    reward = Reward((Component("exact", 1.0, Verdict(1.0)),))
    attempts = (
        Trajectory(task, "arithmetic", segments=(segment,), rewards={POLICY: reward}, metrics={"sample": float(sample)})
        for sample in range(samples)
    )
    return Group(index, task, tuple(attempts))


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    store = TrajectoryStore(tmp_path / "t.jsonl.zst")
    for step in (1, 2, 3):
        store.append(step, [group(10 * step), group(10 * step + 1)])
    return store


def test_what_is_written_is_read_in_order(store: TrajectoryStore) -> None:
    rows = list(TrajectoryStore(store.path).read())
    assert [(row.step, row.group, row.attempt) for row in rows] == [
        (step, 10 * step + number, sample) for step in (1, 2, 3) for number in (0, 1) for sample in (0, 1)
    ]
    assert rows[0].trajectory.to_json() == group(10).trajectories[0].to_json()
    assert rows[0].trajectory.rewards[POLICY].total == 1.0


def test_a_step_is_read_without_the_others(store: TrajectoryStore) -> None:
    start = TrajectoryStore(store.path).steps
    data = bytearray(store.path.read_bytes())
    data[:20] = bytes(20)  # the first step's frame is spoilt; the second one is not touched by that
    store.path.write_bytes(data)
    assert start == [1, 2, 3]
    assert {row.group for row in TrajectoryStore(store.path).read(2)} == {20, 21}
    with pytest.raises(DataError, match="step 1: damaged"):
        list(TrajectoryStore(store.path).read(1))


def test_a_frame_cut_off_by_a_crash_is_dropped_and_writing_goes_on(
    store: TrajectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    whole = store.path.read_bytes()
    for cut in (1, 9, 40):
        store.path.write_bytes(whole[:-cut])
        again = TrajectoryStore(store.path)
        assert again.steps == [1, 2]
        assert store.path.read_bytes() == whole[:-cut]  # reading changes nothing
        with caplog.at_level(logging.WARNING, "lachesis"):
            again.append(3, [group(30), group(31)])
        assert "dropped" in caplog.text
        assert store.path.read_bytes() == whole
        assert [row.group for row in TrajectoryStore(store.path).read(3)] == [30, 30, 31, 31]


def test_a_file_that_was_cut_off_after_it_was_written_names_the_steps_that_it_has_lost(store: TrajectoryStore) -> None:
    whole = store.path.read_bytes()
    first = store.frames[0]
    for size, lost in ((len(whole) - 1, "step 3"), (first.length + 5, "steps 2 to 3"), (0, "steps 1 to 3")):
        store.path.write_bytes(whole[:size])
        again = TrajectoryStore(store.path)
        with pytest.raises(DataError, match=f"was cut off and has lost {lost}; restore"):
            list(again.read())
        assert sorted([*again.steps, *again.lost]) == [1, 2, 3]
        again.rewind(1)
        assert list(TrajectoryStore(store.path).read(2)) == []
        store.index_path.write_text("".join(json.dumps(frame._asdict()) + "\n" for frame in store.frames))


@pytest.mark.parametrize(
    ("steps", "text"), [([3], "step 3"), ([5, 3, 4, 9], "steps 3 to 5, 9"), ([2, 2], "step 2"), ([1, 3], "steps 1, 3")]
)
def test_steps_are_listed_in_runs(steps: list[int], text: str) -> None:
    assert listed(steps) == text


def test_frames_that_the_index_misses_are_found(store: TrajectoryStore) -> None:
    lines = store.index_path.read_text().splitlines(keepends=True)
    expected = [row[:3] for row in store.read()]
    for broken in ("", lines[0], lines[0] + lines[1][:9], "garbage\n"):
        store.index_path.write_text(broken)
        assert [row[:3] for row in TrajectoryStore(store.path).read()] == expected
    store.index_path.unlink()
    TrajectoryStore(store.path).append(4, [group(40)])
    assert len(store.index_path.read_text().splitlines()) == 4


def test_rewind_forgets_later_steps_and_they_can_be_written_again(store: TrajectoryStore) -> None:
    original = store.path.read_bytes()
    store.rewind(1)
    assert TrajectoryStore(store.path).steps == [1]
    for step in (2, 3):
        store.append(step, [group(10 * step), group(10 * step + 1)])
    assert store.path.read_bytes() == original


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("steps", [[1, 2, 3, 4], [1]])
def test_a_store_is_opened_while_a_run_writes_or_rewinds_it(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, steps: list[int], before: bool
) -> None:
    plain, write = TrajectoryStore._indexed, [True]

    def indexed(opened: TrajectoryStore) -> Iterator[Frame]:
        frames = list(plain(opened))
        if write:
            write.clear()
            if 4 in steps:
                store.append(4, [group(40)])
            else:
                store.rewind(1)
        return iter(list(plain(opened)) if before else frames)

    monkeypatch.setattr(TrajectoryStore, "_indexed", indexed)
    opened = TrajectoryStore(store.path)
    assert (opened.steps, opened.lost) == (steps, [])
    assert {row.step for row in opened.read()} == set(steps)


def test_an_earlier_step_is_refused(store: TrajectoryStore) -> None:
    with pytest.raises(DataError, match="already holds step 3"):
        store.append(2, [group(20)])


def test_an_empty_store_has_no_steps(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path / "none.jsonl.zst")
    store.rewind(5)
    assert store.steps == []
    assert list(store.read()) == []


def test_a_disk_that_refuses_is_one_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "t.jsonl.zst"
    path.symlink_to("/dev/full")
    store = TrajectoryStore(path)
    with pytest.raises(InfrastructureError, match="No space left"):
        store.append(1, [group(1)])


def frame_of(*lines: str) -> bytes:
    """A whole frame with other lines than the store writes."""
    return zstandard.ZstdCompressor(write_checksum=True).compress("".join(line + "\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("null", "expected a JSON object, found NoneType"),
        ("[" * 100_000, "not JSON"),
        ("{", "not JSON"),
        ("{}", r"step, group, attempt are whole numbers, found \[None, None, None\]"),
        ('{"step": 4, "group": 40, "attempt": "0"}', r"found \[4, 40, '0'\]"),
    ],
)
def test_a_frame_of_other_rows_is_one_clear_error(store: TrajectoryStore, line: str, message: str) -> None:
    with store.path.open("ab") as file:
        file.write(frame_of(line))
    with pytest.raises(DataError, match=rf"t.jsonl.zst, byte \d+: .*{message}.*; restore it from a backup"):
        TrajectoryStore(store.path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"step": 4, "group": 40, "attempt": 0}', "trajectory schema None is not"),
        ('{"step": 4, "group": 40, "attempt": 0, "schema": 3, "task": 5}', "not a stored trajectory: TypeError"),
        ('{"step": 4, "group": 40, "attempt": 0, "schema": 3, "task": {"prompt": []}}', "not a stored trajectory"),
    ],
)
def test_a_row_that_is_no_trajectory_is_named_after_all_that_can_be_read(
    store: TrajectoryStore, line: str, message: str
) -> None:
    with store.path.open("ab") as file:
        file.write(frame_of(line, line))
    TrajectoryStore(store.path).rewind(4)  # writes the index again
    TrajectoryStore(store.path).append(5, [group(50)])
    rows = TrajectoryStore(store.path).read()
    assert [next(rows).step for _ in range(14)] == [1] * 4 + [2] * 4 + [3] * 4 + [5] * 2
    with pytest.raises(DataError, match=f"step 4: {message}.*; 1 more of its rows or steps are damaged"):
        next(rows)


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "{",
        "[" * 100_000,
        '{"step": "1", "offset": 0, "length": 9, "rows": 1, "first": 0, "last": 0}',
        '{"step": 1, "offset": 0, "length": "9", "rows": 1, "first": 0, "last": 0}',
        '{"step": 1, "offset": 0, "length": 0, "rows": 1, "first": 0, "last": 0}',
        '{"step": 1, "offset": 0, "length": 9, "rows": 1, "first": null, "last": 0}',
    ],
)
def test_a_damaged_index_is_no_hindrance(store: TrajectoryStore, line: str) -> None:
    store.index_path.write_text(line + "\n")
    again = TrajectoryStore(store.path)
    assert [row.group for row in again.read(2)] == [20, 20, 21, 21]
    again.append(4, [group(40)])
    assert TrajectoryStore(store.path).steps == [1, 2, 3, 4]


def test_folders_in_place_of_the_files_are_one_clear_error(tmp_path: Path, store: TrajectoryStore) -> None:
    store.index_path.unlink()
    store.index_path.mkdir()
    assert TrajectoryStore(store.path).steps == [1, 2, 3]
    with pytest.raises(InfrastructureError, match=r"cannot write .*Is a directory"):
        TrajectoryStore(store.path).append(4, [group(40)])
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*folder: Is a directory; restore it"):
        TrajectoryStore(tmp_path / "folder")
