"""Advantages over a group: an agent that has some has them in every attempt."""

from typing import Any

import numpy as np
import pytest

from lachesis.environments.turn_advantages import with_all_advantages
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

TASK = Task("q")


def attempt(**given: list[float] | None) -> Trajectory:
    """An attempt with one segment of two tokens by agent."""
    return Trajectory(TASK, segments=tuple(segment(agent, values) for agent, values in given.items()))


def segment(agent: str, advantages: Any) -> Segment:
    values = None if advantages is None else np.asarray(advantages, np.float32)
    sampled = np.asarray([False, True])
    logprobs, versions = np.asarray([np.nan, -1.0], np.float32), np.asarray([-1, 0], np.int32)
    tokens = np.asarray([1, 2], np.int32)
    return Segment(tokens, sampled, sampled, logprobs, versions, agent=agent, advantages=values)


def advantages(attempts: tuple[Trajectory, ...]) -> list[list[Any]]:
    found = [[one.advantages for one in attempt.segments] for attempt in attempts]
    return [[None if values is None else values.tolist() for values in row] for row in found]


def test_attempts_of_which_none_has_advantages_stay_as_they_are() -> None:
    attempts = (attempt(policy=None), attempt(policy=None))
    assert with_all_advantages(attempts) == attempts


def test_an_attempt_that_lacks_the_advantages_of_an_agent_has_0_and_other_agents_are_left_alone() -> None:
    attempts = [attempt(x=[0.0, 3.0], o=None), attempt(x=None, o=None)]
    assert advantages(with_all_advantages(attempts)) == [[[0.0, 3.0], None], [[0.0, 0.0], None]]


def test_only_a_group_with_all_of_an_agents_advantages_is_accepted_and_it_always_has_something_to_teach() -> None:
    attempts = (attempt(x=[0.0, 3.0], o=None), attempt(x=None, o=None))
    with pytest.raises(DataError, match="only some segments of agent 'x' have advantages"):
        Group(0, TASK, attempts)
    assert Group(0, TASK, attempts[1:]).zero_variance
    assert not Group(0, TASK, with_all_advantages(attempts)).zero_variance
