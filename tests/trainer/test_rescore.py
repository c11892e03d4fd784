"""``lachesis verify``: one verdict a row, in order, resumable; and a run judged again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.rescore import in_order, verify_file, verify_run
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def number(completion: str, answer: str = "4", **params: Any) -> dict[str, Any]:
    return {"verifier": "number", "completion": completion, "answer": answer, "params": params}


def test_each_row_gets_its_verdict_in_order(tmp_path: Path) -> None:
    rows = [
        number("it is 4"),
        {"verifier": "exact", "completion": "<think>?</think>Yes", "answer": "yes", "params": {"ignore_case": True}},
        number("it is 5"),
        number("none"),
        number("4.2", tolerance=0.5),
        {"verifier": "math", "completion": r"\boxed{\frac{1}{2}}", "answer": "0.5"},
    ]
    out = tmp_path / "out.jsonl"
    verify_file(write(tmp_path / "in.jsonl", rows), out, jobs=2)
    verdicts = read(out)
    assert [row["score"] for row in verdicts] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert [row["status"] for row in verdicts] == ["ok", "ok", "wrong", "unparseable", "ok", "ok"]
    assert "expected 4" in verdicts[2]["reason"]
    assert all(set(row) == {"score", "status", "reason", "elapsed_ms"} for row in verdicts)
    assert all(0 <= row["elapsed_ms"] < 60_000 for row in verdicts)


def test_an_interrupted_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [number(f"{n}", answer="3") for n in range(6)])
    out = tmp_path / "out.jsonl"
    kept = '{"score": 9, "status": "made by hand"}\n' * 2
    out.write_text(kept + '{"score": 0.0, "st')  # two verdicts, and one that a crash cut off
    verify_file(source, out, jobs=3)
    assert out.read_text().startswith(kept)
    assert [row["score"] for row in read(out)] == [9, 9, 0.0, 1.0, 0.0, 0.0]
    before = out.read_text()
    verify_file(source, out, jobs=3)
    assert out.read_text() == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{half", "not JSON"),
        ("[1]", "expected a JSON object"),
        ('{"verifier": "number", "answer": 1}', "'completion' is text"),
        ('{"verifier": "number", "completion": "1"}', "'answer' is missing"),
        ('{"verifier": "numbre", "completion": "1", "answer": 1}', "did you mean 'number'"),
        ('{"verifier": "number", "completion": "1", "answer": 1, "params": {"tol": 1}}', "did you mean 'tolerance'"),
        ('{"verifier": "number", "completion": "1", "answer": 1, "params": [1]}', "'params' is an object"),
    ],
)
def test_a_malformed_row_is_named_and_nothing_is_written(tmp_path: Path, line: str, says: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(number("4")) + "\n\n" + line + "\n")
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=f"line 3: .*{says}"):
        verify_file(source, out, jobs=1)
    assert not out.exists()


def test_a_row_that_cannot_be_judged_has_no_score_and_the_command_fails(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [number("4", answer="four"), number("4")])
    out = tmp_path / "out.jsonl"
    with pytest.raises(InfrastructureError, match="1 rows could not be judged"):
        verify_file(source, out, jobs=1)
    assert [(row["score"], row["status"]) for row in read(out)] == [(None, "infra_error"), (1.0, "ok")]


def test_more_verdicts_than_rows_are_another_files(tmp_path: Path) -> None:
    out = write(tmp_path / "out.jsonl", [{}, {}])
    with pytest.raises(DataError, match="holds 2 verdicts"):
        verify_file(write(tmp_path / "in.jsonl", [number("4")]), out, jobs=1)


def test_work_stays_within_its_bound_and_in_order() -> None:
    running = most = 0

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01 * (5 - n % 5))
        running -= 1
        return n

    async def main() -> list[int]:
        return [result async for result in in_order((work(n) for n in range(20)), limit=4)]

    assert asyncio.run(main()) == list(range(20))
    assert most == 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of which one stored score is not what the verifier says."""
    (tmp_path / "config.toml").write_text('[[environments]]\nuse = "arithmetic"\n')
    attempts = []
    task = Task("1+1=", answer="2")
    for said, score in (("2", 1.0), ("3", 1.0), ("2", 1.0)):
        stored = {"exact": (1.0, score), "digits": (0.0, float(said == "2")), "given": (0.5, 0.5)}
        reward = Reward(tuple(Component(label, weight, Verdict(value)) for label, (weight, value) in stored.items()))
        said_so = {POLICY: ({"role": "user", "content": "1+1="}, {"role": "assistant", "content": said})}
        attempts.append(Trajectory(task, "arithmetic", said_so, rewards={POLICY: reward}))  # type: ignore[arg-type]
    TrajectoryStore(tmp_path / "trajectories.jsonl.zst").append(7, [Group(3, task, tuple(attempts))])
    return tmp_path


@pytest.mark.parametrize("name", ["", "trajectories.jsonl.zst"])
def test_a_run_judged_again_shows_what_changed(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verify_run(run / name, run / "changes.jsonl", jobs=2)
    text = capsys.readouterr().out
    assert "3 trajectories, 1 verdicts changed; sum of totals 3.75 → 2.75" in text
    assert "step 7, group 3, sample 1, exact: 1.0 ok → 0.0 wrong" in text
    change = read(run / "changes.jsonl")[0]
    assert (change["label"], change["before"]["score"], change["after"]["score"]) == ("exact", 1.0, 0.0)


def test_a_folder_without_trajectories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no trajectories\.jsonl\.zst"):
        verify_run(tmp_path, None, jobs=1)


def test_trajectories_of_an_unknown_environment_are_refused(run: Path) -> None:
    (run / "config.toml").write_text('[[environments]]\nuse = "arithmetic"\nlabel = "sums"\n')
    with pytest.raises(ConfigError, match="no environment labelled 'arithmetic'"):
        verify_run(run, None, jobs=1)
