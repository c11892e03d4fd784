"""The progress of an evaluation in a pipe: a line for each tenth, with the means so far."""

import io
import re

from rich.console import Console

from lachesis.commands.eval.progress import EvaluationProgress
from lachesis.commands.eval.score_file import Score


def score(reward: float, success: bool | None = None, agent: str = "") -> Score:
    return Score("task", 0, {f"{agent}exact": 9.0, f"{agent}total": reward, "zz/total": 9.0}, success, "done", True)


UNSCORED = Score("task", 0, {}, None, "error", scored=False)


def lines_after(counted: list[list[Score]], total: int, kept: list[Score]) -> list[str]:
    """The lines for some tasks after those that were done before, without the elapsed time."""
    text = io.StringIO()
    with EvaluationProgress(Console(file=text, width=20, highlight=False)) as progress:
        progress.expect(total, total - len(counted), kept)
        progress.begin()
        for scores in counted:
            progress.count(scores)
    lines = [re.fullmatch(r"\d+:\d\d  (.*)", line) for line in text.getvalue().splitlines()]
    return [line[1] for line in lines if line]


def test_each_tenth_of_the_tasks_has_its_line_and_so_has_the_end() -> None:
    lines = lines_after([[score(1.0, True)]] * 250, 250, [])
    assert lines[0] == "evaluating"
    assert [line.split("  ")[0] for line in lines[1:]] == [f"evaluating {25 * n}/250" for n in range(1, 11)]
    assert all(re.search(r"  tasks/s \S+  \d+:\d\d left$", line) for line in lines[1:])


def test_the_means_are_of_the_first_agent_and_include_what_was_scored_before() -> None:
    lines = lines_after([[score(1.0, True), UNSCORED], [], [score(0.5, True)]], 4, [score(0.0, False)])
    assert [line.split("  ")[:3] for line in lines[1:]] == [
        ["evaluating 2/4", "mean reward 0.500", "accuracy 0.500"],
        ["evaluating 3/4", "mean reward 0.500", "accuracy 0.500"],
        ["evaluating 4/4", "mean reward 0.500", "accuracy 0.667"],
    ]


def test_there_is_no_accuracy_without_a_definition_of_success_and_no_mean_without_a_score() -> None:
    lines = lines_after([[UNSCORED], [score(0.25, agent="white/")]], 2, [])
    assert lines[1].startswith("evaluating 1/2  tasks/s ")
    assert lines[2].startswith("evaluating 2/2  mean reward 0.250  tasks/s ")
