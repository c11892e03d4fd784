"""Rewards of a group become advantages: the published numbers, per agent, and nothing out of nothing."""

import numpy as np
import pytest

from lachesis.trainer.advantages import EPSILON, group_advantages, grpo
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

TASK = Task("1+1=", answer="2", id="sum")


def reward(score: float, weight: float = 1.0) -> Reward:
    return Reward((Component("exact", weight, Verdict(score)),))


def group(*rewards: dict[str, Reward]) -> Group:
    return Group(3, TASK, tuple(Trajectory(TASK, rewards=each) for each in rewards))


def test_grpo_gives_the_numbers_of_the_formula() -> None:
    spread = 0.5  # the sample standard deviation of [1, 0, 0, 0]
    expected = np.array([0.75, -0.25, -0.25, -0.25]) / (spread + EPSILON)
    assert np.array_equal(grpo(np.array([1.0, 0, 0, 0])), expected)
    assert np.allclose(expected, [1.5, -0.5, -0.5, -0.5], atol=1e-3)


def test_advantages_of_a_group_sum_to_nothing_and_do_not_move_with_its_rewards() -> None:
    rewards = np.array([0.1, 0.7, 0.7, 2.0])
    assert abs(grpo(rewards).sum()) < 1e-12
    assert np.allclose(grpo(rewards + 5), grpo(rewards), atol=1e-12)


@pytest.mark.parametrize("rewards", [[0.0], [1.0], [0.3] * 7, [1e9] * 3, [-0.1] * 8])
def test_equal_rewards_teach_exactly_nothing(rewards: list[float]) -> None:
    assert grpo(np.array(rewards)).tolist() == [0.0] * len(rewards)


def test_each_agent_is_compared_with_itself_only() -> None:
    found = group_advantages(
        group({"x": reward(1), "o": reward(9)}, {"x": reward(0), "o": reward(9)}, {"x": reward(0)}), "grpo"
    )
    assert [found[number, "x"] for number in range(3)] == grpo(np.array([1.0, 0, 0])).tolist()
    assert found[0, "o"] == found[1, "o"] == 0.0
    assert (2, "o") not in found


def test_a_reward_that_is_not_finite_is_refused_by_group_and_agent() -> None:
    bad = group({"x": reward(1.0)}, {"x": reward(10.0, weight=1e308)})
    with pytest.raises(DataError, match=r"group 3 \(task sum\).*'x'.*inf"):
        group_advantages(bad, "grpo")
    cancelling = Reward((*reward(10.0, 1e308).components, Component("less", -1e308, Verdict(10.0))))
    with pytest.raises(DataError, match="nan"):
        group_advantages(group({"x": cancelling}), "grpo")
