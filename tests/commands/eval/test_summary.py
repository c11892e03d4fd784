"""Results of an evaluation: means, pass@k and votes over tasks, whose attempts are not independent."""

import itertools
import math
from statistics import fmean, stdev

import pytest

from lachesis.commands.eval.score_file import Score, score_of
from lachesis.commands.eval.summary import interval, majority_success, pass_at_k, summarise, usage_of
from lachesis.rollout.config import PriceConfig
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed, wrong


def attempt(question: str, score: float | None) -> Trajectory:
    verdict = infra_error("down") if score is None else Verdict(score) if score else wrong("no")
    reward = Reward((Component("exact", 2.0, verdict), Component("length", 0.0, Verdict(7.0))))
    return Trajectory(Task(question), "toy", rewards={POLICY: reward})


def answered(question: str, number: int, answer: str, right: bool) -> Score:
    verdict = (passed if right else wrong)("judged", found=answer) if answer else wrong("nothing")
    return score_of(
        number, Trajectory(Task(question), "toy", rewards={POLICY: Reward((Component("exact", 1.0, verdict),))})
    )


@pytest.mark.parametrize(("attempts", "successes"), [(1, 0), (4, 0), (4, 1), (5, 3), (6, 6)])
def test_pass_at_k_is_the_share_of_all_choices_of_k_attempts_that_hold_a_success(attempts: int, successes: int) -> None:
    outcomes = [True] * successes + [False] * (attempts - successes)
    for k in range(1, attempts + 1):
        share = fmean(any(chosen) for chosen in itertools.combinations(outcomes, k))
        assert pass_at_k(attempts, successes, k) == pytest.approx(share)


def test_pass_at_k_is_averaged_over_the_tasks_that_have_k_attempts() -> None:
    scores = [answered("a", n, "1", n == 0) for n in range(4)] + [answered("b", n, "2", True) for n in range(2)]
    summary = summarise(scores)
    assert set(summary.pass_at) == {2, 4}
    both = [pass_at_k(4, 1, 2), 1.0]
    assert summary.pass_at[2] == pytest.approx((fmean(both), stdev(both) / math.sqrt(2)))
    assert summary.pass_at[4][0] == 1.0
    assert math.isnan(summary.pass_at[4][1])


def test_the_most_frequent_answer_decides_and_equal_votes_share() -> None:
    right, other = answered("a", 0, "4", True), answered("a", 1, "5", False)
    silent = answered("a", 2, "", False)
    assert majority_success([right, right, other]) == 1.0
    assert majority_success([right, other, other]) == 0.0
    assert majority_success([right, other, silent, silent, silent]) == 0.5
    assert majority_success([silent, silent]) == 0.0
    assert set(summarise([right, right._replace(attempt=1), silent]).majority) == {3}
    assert summarise([silent, silent]).majority == {}  # nothing extracts answers
    assert summarise([right]).majority == {}  # one attempt is no vote


def test_tokens_seconds_and_dollars_add_up_by_agent() -> None:
    first = answered("a", 0, "4", True)._replace(tokens={"buyer": (1e6, 2e6), "seller": (3.0, 4.0)}, seconds=1.5)
    usage = usage_of([first, first], {"buyer": PriceConfig(prompt=1.0, completion=0.5)})
    assert usage == (2e6 + 6, 4e6 + 8, 3.0, 4.0)


def test_an_interval_is_null_where_the_error_is_not_known() -> None:
    assert interval("x", 0.5, 0.1)["low"] == pytest.approx(0.5 - 0.1959964)
    assert interval("x", 0.5, math.nan) == {"label": "x", "mean": 0.5, "low": None, "high": None}


def test_accuracy_is_left_out_where_success_is_undefined() -> None:
    def scored(graded: bool) -> Score:
        parts = (Component("speed", 1.0, Verdict(1.0, graded=graded)),)
        return score_of(0, Trajectory(Task("a"), rewards={"policy": Reward(parts)}))

    assert summarise([scored(False)]).accuracy is not None
    assert summarise([scored(False), scored(True)]).accuracy is None


def test_means_are_over_tasks_and_their_error_too() -> None:
    scores = [score_of(n, attempt("a", value)) for n, value in enumerate((1.0, 0.0))]
    scores += [score_of(0, attempt("b", 1.0)), score_of(0, attempt("c", 0.0)), score_of(0, attempt("d", None))]
    summary = summarise(scores)
    tasks = [0.5, 1.0, 0.0]
    assert summary.means["exact"] == pytest.approx((0.5, stdev(tasks) / math.sqrt(3)))
    assert summary.means["total"] == pytest.approx((1.0, 2 * stdev(tasks) / math.sqrt(3)))
    assert summary.accuracy[0] == pytest.approx(0.5)
    assert (summary.scored, summary.unscored) == (4, 1)
    assert summary.stops == {"done": 5}


def test_one_task_has_no_standard_error() -> None:
    mean, error = summarise([score_of(0, attempt("a", 1.0))]).accuracy
    assert mean == 1.0
    assert math.isnan(error)
