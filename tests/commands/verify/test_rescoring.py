"""``lachesis verify``: one verdict a row, in order, resumable; and a run judged again."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.verify.rescoring import verify_file, verify_stored
from lachesis.rollout.store import TrajectoryStore
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
    assert all(set(row) == {"score", "status", "reason", "elapsed_ms", "row"} for row in verdicts)
    assert all(0 <= row["elapsed_ms"] < 60_000 for row in verdicts)


def verdicts(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "elapsed_ms"} for row in read(path)]


def test_a_file_cut_off_anywhere_goes_on_to_the_same_end(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [number(f"{n}", answer="3") for n in range(6)])
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    verify_file(source, whole, jobs=3)
    data = whole.read_bytes()
    for cut in range(0, len(data) + 1, 37):
        out.write_bytes(data[:cut])
        verify_file(source, out, jobs=3)
        assert out.read_bytes()[:cut].startswith(data[: data[:cut].rfind(b"\n") + 1])
        assert verdicts(out) == verdicts(whole)


def test_a_finished_file_is_left_as_it_is(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [number("4")]), tmp_path / "out.jsonl"
    verify_file(source, out, jobs=1)
    before = out.read_bytes()
    verify_file(source, out, jobs=1)
    assert out.read_bytes() == before


def test_a_malformed_row_gets_its_verdict_and_the_others_theirs(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join([json.dumps(number("4")), "", "{half", "[" * 100_000, json.dumps(number("5"))]))
    with pytest.raises(InfrastructureError, match="2 rows could not be scored"):
        verify_file(source, out, jobs=2)
    assert [row["status"] for row in read(out)] == ["ok", "infra_error", "infra_error", "wrong"]
    assert [row["reason"].partition(":")[0] for row in read(out)[1:3]] == ["line 3", "line 4"]
    with pytest.raises(InfrastructureError, match="2 rows could not be scored"):
        verify_file(source, out, jobs=2)  # gone on with, it ends as it did before


def test_verdicts_go_to_standard_output_where_no_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify_file(write(tmp_path / "in.jsonl", [number("4"), number("5")]), None, jobs=1)
    said = capsys.readouterr()
    assert [json.loads(line)["score"] for line in said.out.splitlines()] == [1.0, 0.0]
    assert "2 rows: 1 ok, 1 wrong" in said.err


def test_a_file_that_is_not_there_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        verify_file(tmp_path / "none.jsonl", tmp_path / "out.jsonl", jobs=1)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_row_that_cannot_be_judged_has_no_score_and_the_command_fails(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [number("4", answer="four"), number("4")])
    out = tmp_path / "out.jsonl"
    with pytest.raises(InfrastructureError, match="1 row could not be scored"):
        verify_file(source, out, jobs=1)
    assert [(row["score"], row["status"]) for row in read(out)] == [(None, "infra_error"), (1.0, "ok")]


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
    verify_stored(run / name, run / "changes.jsonl", jobs=2)
    text = capsys.readouterr().out
    assert "3 trajectories, 1 verdicts changed; sum of totals 3.75 → 2.75" in text
    assert "step 7, group 3, attempt 1, exact: 1.0 ok → 0.0 wrong" in text
    change = read(run / "changes.jsonl")[0]
    assert (change["label"], change["before"]["score"], change["after"]["score"]) == ("exact", 1.0, 0.0)


def test_a_folder_without_trajectories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no trajectories\.jsonl\.zst"):
        verify_stored(tmp_path, None, jobs=1)


def test_trajectories_of_an_unknown_environment_are_refused(run: Path) -> None:
    (run / "config.toml").write_text('[[environments]]\nuse = "arithmetic"\nlabel = "sums"\n')
    with pytest.raises(ConfigError, match="trajectories of 'arithmetic', which its config does not list"):
        verify_stored(run, None, jobs=1)


ENVIRONMENT = """
from lachesis import Environment, Rubric, Task, group_reward, use


class Rare(Environment):
    rubric = Rubric(use("exact"))

    @group_reward(weight=0.5)
    def rare(self, cases):
        texts = [case.completion for case in cases]
        return [float(texts.count(text) == 1) for text in texts]
"""


def test_group_rewards_are_judged_again_over_the_stored_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rare.py").write_text(ENVIRONMENT)
    Path("config.toml").write_text('[[environments]]\nuse = "rare.py"\nlabel = "rare"\n')
    task = Task("1+1=", answer="2")

    def attempt(said: str, exact: float, rare: float) -> Trajectory:
        judged = Verdict(exact, "ok" if exact else "wrong")
        parts = (Component("exact", 1.0, judged), Component("rare", 0.5, Verdict(rare)))
        messages: Any = {POLICY: ({"role": "assistant", "content": said},)}
        return Trajectory(task, "rare", messages, rewards={POLICY: Reward(parts)})

    groups = [
        Group(3, task, (attempt("2", 1.0, 0.0), attempt("2", 1.0, 1.0), attempt("3", 0.0, 1.0))),
        Group(4, task, (attempt("2", 1.0, 1.0), attempt("3", 0.0, 1.0))),
    ]
    for step in (1, 2):
        TrajectoryStore("trajectories.jsonl.zst").append(step, groups)
    verify_stored(tmp_path, tmp_path / "changes.jsonl", jobs=3)
    assert "10 trajectories, 2 verdicts changed" in capsys.readouterr().out
    places = {(row["where"], row["label"], row["after"]["score"]) for row in read(tmp_path / "changes.jsonl")}
    assert places == {(f"step {step}, group 3, attempt 1", "rare", 0.0) for step in (1, 2)}
