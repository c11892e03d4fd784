"""A run is read as it is, also while another process writes it; readers change nothing and need no torch."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.storage.checkpoint import begin, complete
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.run.storage.reader import Mark, Run
from lachesis.trainer.run.storage.run_state import RunState
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def group(index: int) -> Group:
    task = Task(f"q{index}")
    return Group(index, task, (Trajectory(task), Trajectory(task)), (0, 2))  # attempt 1 was not scored


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run under way, with three steps of two groups each."""
    folder = RunFolder.create(RunConfig.model_validate({"out": tmp_path, "environments": [{"use": "arithmetic"}]}))
    for step in (1, 2, 3):
        folder.log_metrics(step, {"loss": 1 / step})
        folder.log_trajectories(step, [group(10 * step), group(10 * step + 1)])
    return folder


@pytest.fixture
def run(folder: RunFolder) -> Run:
    return Run(folder.path)


def test_everything_of_a_run_is_found(folder: RunFolder, run: Run) -> None:
    assert run.config(["--seed", "7"]).seed == 7
    assert run.config().environments[0].use == "arithmetic"
    assert [row["step"] for row in run.metrics()] == [1, 2, 3]
    assert run.summary() is None
    folder.write_summary({"steps": 3})
    assert run.summary() == {"steps": 3}
    assert run.steps() == [1, 2, 3]


def test_reading_needs_no_torch(run: Run) -> None:
    code = f"""
import sys
from lachesis.trainer.run.storage.reader import Run
run = Run({str(run.path)!r})
run.config(), run.metrics(), run.checkpoints(), run.alive(), list(run.trajectories(step=2))
print([name for name in ("torch", "transformers", "ray") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_trajectories_are_found_by_step_group_and_attempt(run: Run) -> None:
    assert [(one.step, one.group, one.attempt) for one in run.trajectories(step=2)] == [
        (2, 20, 0),
        (2, 20, 2),
        (2, 21, 0),
        (2, 21, 2),
    ]
    assert [(one.step, one.attempt) for one in run.trajectories(group=31)] == [(3, 0), (3, 2)]
    (found,) = run.trajectories(group=31, attempt=2)
    assert found.trajectory.task.prompt == "q31"
    assert list(run.trajectories(group=31, attempt=1)) == []
    assert list(run.trajectories(group=15)) == []
    assert len(list(run.trajectories())) == 12


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_a_group_is_read_without_the_frames_of_others(folder: RunFolder, run: Run, index: str) -> None:
    store = folder.trajectories
    if index == "lost":
        store.index_path.unlink()
        assert [one.group for one in run.trajectories(group=20)] == [20, 20]
        return
    data = bytearray(store.path.read_bytes())
    data[:20] = bytes(20)  # the first step's frame is damaged
    store.path.write_bytes(data)
    assert [one.group for one in run.trajectories(group=20)] == [20, 20]
    with pytest.raises(DataError, match="step 1: damaged"):
        list(run.trajectories(group=10))


def test_an_index_of_an_earlier_version_is_no_hindrance(folder: RunFolder, run: Run) -> None:
    path = folder.trajectories.index_path
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    old = [{name: row[name] for name in ("step", "offset", "length", "rows")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in old))
    assert [one.step for one in run.trajectories(group=31)] == [3, 3]


def test_only_new_rows_of_metrics_are_read(folder: RunFolder, run: Run) -> None:
    first = run.new_metrics()
    assert [row["step"] for row in first.rows] == [1, 2, 3]
    assert run.new_metrics(first.mark) == ([], first.mark, False)
    folder.log_metrics(4, {"loss": 0.0})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # another write that is not finished
    second = run.new_metrics(first.mark)
    assert [row["step"] for row in second.rows] == [4]
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('ss": 1.0}\n')
    assert run.new_metrics(second.mark).rows == [{"step": 5, "loss": 1.0}]


def test_a_follower_is_told_when_the_run_was_rewound(folder: RunFolder, run: Run) -> None:
    mark = run.new_metrics().mark
    folder.rewind(1)
    for step in (2, 3, 4):
        folder.log_metrics(step, {"loss": 10.0 * step})
    again = run.new_metrics(mark)
    assert again.again
    assert [(row["step"], row["loss"]) for row in again.rows] == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0)]


def test_a_run_is_alive_while_its_folder_is_held_and_looking_stops_nobody(folder: RunFolder, run: Run) -> None:
    assert run.alive()
    folder.close()
    assert not run.alive()
    RunFolder.open(folder.path).close()
    assert not run.alive()


def test_only_complete_checkpoints_are_listed(folder: RunFolder, run: Run) -> None:
    assert run.checkpoints() == []
    for step in (1, 2):
        complete(begin(folder.checkpoints, RunState(step)), keep=2)
    begin(folder.checkpoints, RunState(3))
    assert [path.name for path in run.checkpoints()] == ["step-000001", "step-000002"]


WRITER = """
import sys
from pathlib import Path
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

folder = RunFolder.open(sys.argv[1])
print("open", flush=True)
for step in range(1, 200):
    task = Task(f"q{step} " + "x" * 5000)
    folder.log_metrics(step, {"loss": float(step)})
    folder.log_trajectories(step, [Group(step, task, (Trajectory(task),) * 4)])
sys.stdin.readline()
folder.close()
"""


def test_a_run_is_read_while_another_process_writes_it(folder: RunFolder, run: Run) -> None:
    folder.rewind(0)
    folder.close()
    command = [sys.executable, "-c", WRITER, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        seen: list[int] = []
        mark, most, end = Mark(), 0, time.monotonic() + 60
        while most < 199:
            assert time.monotonic() < end
            assert run.alive()
            new = run.new_metrics(mark)
            mark, seen = new.mark, seen + [row["step"] for row in new.rows]
            steps = run.steps()
            assert steps == list(range(1, len(steps) + 1))
            most = max(most, len(steps))
            if steps:
                rows = list(run.trajectories(group=steps[-1]))
                assert [(one.step, one.attempt) for one in rows] == [(steps[-1], attempt) for attempt in range(4)]
        seen += [row["step"] for row in run.new_metrics(mark).rows]
        assert seen == list(range(1, 200))
        writer.communicate("\n", timeout=60)
    assert writer.returncode == 0
    assert not run.alive()
    assert TrajectoryStore(run.path / "trajectories.jsonl.zst").steps == list(range(1, 200))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a run's folder \(it has no config.toml\)"):
        Run(tmp_path)


def test_a_run_that_has_written_nothing_yet_is_empty(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    run = Run(tmp_path)
    assert (run.metrics(), run.steps(), run.summary(), run.checkpoints(), run.alive()) == ([], [], None, [], False)


ODD_ROWS = {
    "null": "expected a JSON object, found NoneType",
    "5": "expected a JSON object, found int",
    "{": "not JSON",
    "[" * 100_000: "not JSON",
    "{}": "a step is a whole number, found None",
    '{"step": true}': "a step is a whole number, found True",
    '{"step": 2.5}': "a step is a whole number, found 2.5",
    '{"step": 4, "loss": "low"}': "'loss' is a finite number or null, found 'low'",
    '{"step": 4, "loss": NaN}': "'loss' is a finite number or null, found nan",
    '{"step": 4, "loss": 1' + "0" * 400 + "}": "'loss' is a finite number or null, found 1000",
}


@pytest.mark.parametrize("line", ODD_ROWS)
def test_a_damaged_row_of_metrics_is_left_out_by_a_reader_and_refused_by_the_run_itself(
    folder: RunFolder, run: Run, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    mark = run.new_metrics().mark
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write(line + '\n{"step": 5, "loss": null}\n')
    again = run.new_metrics(mark)
    assert [row["step"] for row in again.rows] == [5]
    assert run.new_metrics(again.mark).rows == []
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 5]
    assert ODD_ROWS[line] in caplog.text
    with pytest.raises(
        DataError, match=f"metrics.jsonl, line 4: {re.escape(ODD_ROWS[line])}.*repair or remove the line"
    ):
        folder.metrics()


@pytest.mark.parametrize("content", [b"null", b"5", b"{", b"\xff", b"", b"[" * 100_000])
def test_a_damaged_summary_is_one_clear_error_and_the_rest_is_read(run: Run, content: bytes) -> None:
    (run.path / "summary.json").write_bytes(content)
    with pytest.raises(DataError, match=r"summary.json: .*; delete it; --resume writes it again"):
        run.summary()
    (run.path / "summary.json").unlink()
    (run.path / "summary.json").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*summary.json: Is a directory"):
        run.summary()
    assert [row["step"] for row in run.metrics()] == run.steps() == [1, 2, 3]


def test_a_damaged_step_is_named_after_all_others_were_read(folder: RunFolder, run: Run) -> None:
    store = folder.trajectories
    data = bytearray(store.path.read_bytes())
    data[:20] = bytes(20)
    store.path.write_bytes(data)
    rows = run.trajectories()
    assert [next(rows).step for _ in range(8)] == [2] * 4 + [3] * 4
    with pytest.raises(DataError, match=r"step 1: damaged or unreadable .*; restore it from a backup"):
        next(rows)


def test_folders_of_other_names_and_files_are_no_checkpoints(folder: RunFolder, run: Run) -> None:
    complete(begin(folder.checkpoints, RunState(1)), keep=2)
    for name in ("step-²", "step-٣", "step-", "step-1x", "step--1"):
        (folder.checkpoints / name).mkdir()
    (folder.checkpoints / "step-000009").write_text("a file")
    (folder.path / "lock").unlink()
    (folder.path / "lock").mkdir()
    assert [path.name for path in run.checkpoints()] == ["step-000001"]
    assert not run.alive()
    complete(begin(folder.checkpoints, RunState(2)), keep=1)
    assert (folder.checkpoints / "step-²").is_dir()
