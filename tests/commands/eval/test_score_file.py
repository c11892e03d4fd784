"""Scores on disk: resumable, and refused where they are of something else."""

import json
from pathlib import Path

import pytest

from lachesis.commands.eval.score_file import ScoreFile, score_of
from lachesis.commands.eval.summary import summarise
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, wrong

HEADER = {"environment": {"use": "toy", "config": {"digits": 2}}, "model": "m", "sampling": {"temperature": 0.0}}


def attempt(question: str, score: float | None, agent: str = POLICY) -> Trajectory:
    verdict = infra_error("down") if score is None else Verdict(score) if score else wrong("no")
    reward = Reward((Component("exact", 2.0, verdict), Component("length", 0.0, Verdict(7.0))))
    return Trajectory(Task(question), "toy", rewards={agent: reward})


def test_scores_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.jsonl"
    with ScoreFile(path, HEADER) as file:
        assert not path.exists()  # nothing scored leaves nothing
        file.add(0, attempt("a", 1.0))
        assert len(path.read_text().splitlines()) == 2
        file.add(1, attempt("a", 0.0))
    with ScoreFile(path, HEADER) as again:
        assert again.has("toy", Task("a").hash, 0)
        assert again.has("toy", Task("a").hash, 1)
        assert not again.has("toy", Task("a").hash, 2)
        assert again.scores == file.scores


def test_an_attempt_that_was_not_judged_is_made_again_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with ScoreFile(path, HEADER) as file:
        file.add(0, attempt("a", None))
        assert not file.has("toy", Task("a").hash, 0)
    with ScoreFile(path, HEADER) as file:
        assert not file.has("toy", Task("a").hash, 0)
        file.add(0, attempt("a", 1.0))
    summary = summarise(ScoreFile(path, HEADER).scores.values())
    assert (summary.scored, summary.unscored) == (1, 0)


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with ScoreFile(path, HEADER) as file:
        file.add(0, attempt("a", 1.0))
        file.add(0, attempt("b", 1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with ScoreFile(path, HEADER) as file:
        assert not file.has("toy", Task("b").hash, 0)
        file.add(0, attempt("b", 1.0))
    assert path.read_bytes() == whole


def test_another_evaluations_file_is_refused_with_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with ScoreFile(path, HEADER) as file:
        file.add(0, attempt("a", 1.0))
    other = HEADER | {"environment": {"use": "toy", "config": {"digits": 3}}}
    with pytest.raises(ConfigError, match=r"environment\.config\.digits 2, not 3; choose another --out"):
        ScoreFile(path, other)


def test_what_is_no_file_of_scores_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"question": "?"}\n')
    with pytest.raises(ConfigError, match="is not a header"):
        ScoreFile(path, HEADER)
    path.write_text(json.dumps({"header": HEADER}) + '\n{"attempt": 0}\n')
    with pytest.raises(DataError, match=r"line 2: not a score .*schema None"):
        ScoreFile(path, HEADER)
    with pytest.raises(ConfigError, match=r"cannot continue .*: Is a directory; choose another --out"):
        ScoreFile(tmp_path, HEADER)


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "s.jsonl"
    path.symlink_to("/dev/full")
    with ScoreFile(path, HEADER) as file, pytest.raises(InfrastructureError, match="No space left"):
        file.add(0, attempt("a", 1.0))


def test_another_agents_labels_carry_its_name() -> None:
    assert set(score_of(0, attempt("a", 1.0, agent="x")).rewards) == {"x/exact", "x/length", "x/total"}


def test_a_failed_episode_is_not_a_score() -> None:
    score = score_of(0, Trajectory(Task("a"), "toy", stop=StopReason.INFRA_ERROR, error="EngineError: down"))
    assert (score.scored, score.success, score.rewards) == (False, None, {})
