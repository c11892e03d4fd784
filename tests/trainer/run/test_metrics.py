"""What is logged of a step's groups, against sums done by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lachesis.rollout.dispatcher import Batch
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.metrics import (
    OLDEST,
    advantage_metrics,
    age_metrics,
    group_metrics,
    loss_metrics,
    mean_scores,
    scoring_seconds,
    step_metrics,
    version_age,
)
from lachesis.verifiers.group import Group, Lost
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict

TASK = Task("1+1=", answer="2", id="sum")


def segment(versions: Sequence[int]) -> Segment:
    """A context token, then one sampled by each of the versions."""
    sampled = np.arange(len(versions) + 1) > 0
    logprobs = np.where(sampled, -1.0, np.nan).astype(np.float32)
    return Segment(np.arange(sampled.size), sampled, sampled, logprobs, np.array([-1, *versions]))


def attempt(scores: dict[str, float], versions: Sequence[int] = (4,), **more: Any) -> Trajectory:
    weights = {"exact": 1.0, "format": 0.1}
    parts = tuple(Component(label, weights[label], Verdict(score, elapsed=0.25)) for label, score in scores.items())
    return Trajectory(TASK, segments=(segment(versions),), rewards={"policy": Reward(parts)}, **more)


GROUPS = [
    Group(0, TASK, (attempt({"exact": 1, "format": 1}, (4, 4)), attempt({"exact": 0, "format": 1}, (3, 4, 4)))),
    Group(1, TASK, (attempt({"exact": 0}), attempt({"exact": 0}, stop=StopReason.LENGTH, metrics={"turns": 3.0}))),
]


def test_means_are_over_attempts_and_labels_unweighted() -> None:
    found = group_metrics(GROUPS)
    assert found["reward/total"] == pytest.approx((1.1 + 0.1) / 4)
    assert found["reward/std"] == pytest.approx(np.std([1.1, 0.1, 0, 0]))
    assert (found["reward/exact"], found["reward/format"]) == (0.25, 1.0)
    assert (found["reward_std/exact"], found["reward_std/format"]) == (pytest.approx(np.std([1, 0, 0, 0])), 0.0)
    assert found["tokens/reply_most"] == 3.0
    assert (found["groups/zero_variance"], found["groups/attempts"]) == (0.5, 2.0)
    assert (found["tokens/sampled"], found["tokens/reply"]) == (7.0, 1.75)
    assert (found["stop/done"], found["stop/length"]) == (0.75, 0.25)
    assert found["episode/turns"] == 3.0


def test_advantages_are_those_of_the_trained_tokens() -> None:
    mask = np.array([False, False, True, True])
    one = Sample(np.arange(4), mask, None, np.array([9.0, 9.0, 1.0, -2.0], np.float32))
    found = advantage_metrics([one, replace(one, advantages=np.full(4, 0.5, np.float32))])
    assert found["advantage/mean"] == pytest.approx(0.0)
    assert found["advantage/std"] == pytest.approx(np.std([1, -2, 0.5, 0.5]))
    assert found["advantage/most"] == 2.0
    assert set(advantage_metrics([]).values()) == {0.0}


def test_shares_of_stop_reasons_sum_to_exactly_1() -> None:
    many = [Group(0, TASK, tuple(attempt({"exact": 0}) for _ in range(10)))]
    assert group_metrics(many)["stop/done"] == 1.0


def test_age_is_that_of_the_oldest_sampled_token() -> None:
    assert version_age(GROUPS, 4) == 1
    assert version_age(GROUPS[1:], 4) == 0
    assert version_age([], 4) == 0


def test_tokens_are_counted_by_their_age_and_very_old_ones_together() -> None:
    assert age_metrics(GROUPS, 4) == {"staleness/age_0": pytest.approx(6 / 7), "staleness/age_1": pytest.approx(1 / 7)}
    assert age_metrics(GROUPS, 4 + OLDEST)[f"staleness/age_{OLDEST}"] == 1.0
    nothing = Group(0, TASK, (Trajectory(TASK, rewards={"policy": Reward()}),))
    assert age_metrics([nothing], 4) == {}


def test_times_of_groups_are_given_by_percentile() -> None:
    found = step_metrics(Batch(tuple(GROUPS), (), ages=tuple(float(age) for age in range(101))), ["sums"], 4)
    shares = {name: found[f"time/group_{name}"] for name in ("median", "p90", "p99", "most")}
    assert shares == {"median": 50.0, "p90": 90.0, "p99": 99.0, "most": 100.0}


def test_every_attempt_without_a_score_counts_as_unscored() -> None:
    lost = (Lost(2, StopReason.INFRA_ERROR, "judge"), Lost(3, StopReason.ENVIRONMENT_ERROR, "raised"))
    found = loss_metrics([replace(GROUPS[0], lost=lost)])
    assert (found["attempts/unscored"], found["attempts/unjudged"], found["attempts/raised"]) == (0.5, 0.25, 0.25)


def test_seconds_of_scoring_are_summed() -> None:
    assert scoring_seconds(GROUPS) == 6 * 0.25


def test_what_was_not_judged_is_no_zero() -> None:
    lost = Reward((Component("exact", 0.0, Verdict(None, "infra_error", "gone")),))
    scores = mean_scores([attempt({"exact": 1}), Trajectory(TASK, rewards={"policy": lost})])
    assert scores == {"exact": 1.0}


def test_a_group_teaches_if_any_agent_s_rewards_differ() -> None:
    def pair(x: float, o: float) -> Trajectory:
        rewards = {"x": x, "o": o}
        return Trajectory(
            TASK, rewards={name: Reward((Component("win", 1, Verdict(score)),)) for name, score in rewards.items()}
        )

    assert group_metrics([Group(0, TASK, (pair(1, 0), pair(1, 1)))])["groups/zero_variance"] == 0.0
    assert group_metrics([Group(0, TASK, (pair(1, 0), pair(1, 0)))])["groups/zero_variance"] == 1.0
