"""An evaluation's page: the means that ``eval`` prints, with intervals, and two evaluations compared task by task."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.commands.eval.score_file import ScoreFile
from lachesis.commands.eval.summary import summarise
from lachesis.commands.sources.eval_source import EvalSource, compare
from lachesis.verifiers.trajectory import Trajectory

Make = Callable[..., Trajectory]
Write = Callable[..., Path]


def test_the_means_are_those_that_eval_prints(tmp_path: Path, make: Make, write_eval: Write) -> None:
    scores = {"a": (1.0, 0.0), "b": (1.0, 1.0), "c": (0.0, None)}
    attempts = [(n, make(task, "y", score)) for task, both in scores.items() for n, score in enumerate(both)]
    path = write_eval(tmp_path / "e.jsonl", attempts)
    page = EvalSource("e", path).page()
    header = {"environments": {"toy": {"use": "toy", "config": {}}}, "model": "m"}
    expected = summarise(ScoreFile(path, header).scores.values())
    means = {mean["label"]: mean for mean in page["means"]}
    for label, (mean, error) in {**expected.means, "success": expected.accuracy or (math.nan, math.nan)}.items():
        assert means[label]["mean"] == pytest.approx(mean)
        assert means[label]["high"] - means[label]["mean"] == pytest.approx(1.959964 * error)
    assert means["total"]["mean"] == pytest.approx(0.5)
    assert (page["scored"], page["unscored"], page["model"]) == (5, 1, "m")
    assert [[one["total"] for one in task["attempts"]] for task in page["tasks"]] == [
        [1.0, 0.0],
        [1.0, 1.0],
        [0.0, None],
    ]


def test_an_attempt_that_was_made_again_counts_once(tmp_path: Path, make: Make, write_eval: Write) -> None:
    path = write_eval(tmp_path / "e.jsonl", [(0, make("a", "y", None)), (0, make("a", "y", 1.0))])
    page = EvalSource("e", path).page()
    assert (page["scored"], page["unscored"]) == (1, 0)
    assert page["means"][-1] == {"label": "success", "mean": 1.0, "low": None, "high": None}  # one task has no interval


def test_two_evaluations_are_compared_over_the_tasks_of_both(tmp_path: Path, make: Make, write_eval: Write) -> None:
    first = {"a": 1.0, "b": 0.0, "c": 0.5, "only first": 1.0}
    second = {"d": 1.0, "c": 0.5, "b": 1.0, "a": 0.5}
    one = EvalSource("1", write_eval(tmp_path / "1.jsonl", [(0, make(t, "x", s)) for t, s in first.items()]))
    other = EvalSource("2", write_eval(tmp_path / "2.jsonl", [(0, make(t, "x", s)) for t, s in second.items()]))
    found = compare(one, other)
    assert (found["won"], found["lost"], found["tied"]) == (1, 1, 1)
    assert (found["only_one"], found["only_other"]) == (1, 1)
    assert found["difference"]["mean"] == pytest.approx(0.5 / 3)
    spread = math.sqrt(((1 - 1 / 6) ** 2 + (-0.5 - 1 / 6) ** 2 + (1 / 6) ** 2) / 2)
    assert found["difference"]["high"] == pytest.approx(0.5 / 3 + 1.959964 * spread / math.sqrt(3))
    assert [task["difference"] for task in found["tasks"]] == [1.0, -0.5, 0.0]  # the largest first
    assert (found["tasks"][0]["one"]["group"], found["tasks"][0]["other"]["group"]) == (1, 2)


def test_several_environments_keep_their_tasks_and_means_apart(tmp_path: Path, make: Make) -> None:
    def write(name: str, scores: dict[str, float]) -> EvalSource:
        header = {"environments": {label: {"use": label, "config": {}} for label in scores}, "model": "m"}
        with ScoreFile(tmp_path / name, header) as file:
            for label, score in scores.items():
                file.add(0, make("the same task", "y", score, environment=label))
        return EvalSource(name, tmp_path / name)

    one, other = write("1.jsonl", {"left": 1.0, "right": 0.0}), write("2.jsonl", {"left": 1.0, "right": 1.0})
    page = one.page()
    assert page["environment"] == "left, right"
    means = {mean["label"]: mean["mean"] for mean in page["means"]}
    assert (means["left: total"], means["right: total"], means["right: success"]) == (1.0, 0.0, 0.0)
    assert len(page["tasks"]) == 2
    found = compare(one, other)
    assert (found["won"], found["tied"]) == (1, 1)
    assert found["tasks"][0]["environment"] == "right"
    single = write("3.jsonl", {"renamed": 1.0})
    alone = write("4.jsonl", {"left": 0.0})
    assert compare(single, alone)["lost"] == 1  # the label of a file's only environment does not matter
