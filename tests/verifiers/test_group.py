"""Groups: attempts at one task, whose segments bring advantages all or none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def trajectory(task: Task, **fields: Any) -> Trajectory:
    return Trajectory(task, messages={"policy": ({"role": "assistant", "content": "a"},)}, **fields)


def test_a_group_refuses_to_be_empty_or_to_mix_tasks() -> None:
    with pytest.raises(DataError, match="empty"):
        Group(0, Task("q"), ())
    with pytest.raises(DataError, match="mixes tasks"):
        Group(0, Task("q"), (trajectory(Task("q")), trajectory(Task("r"))))


def test_a_group_refuses_advantages_in_only_some_segments(make_segment: Callable[..., Segment]) -> None:
    task = Task("q")
    given, bare = make_segment(advantages=np.zeros(3)), make_segment()
    with pytest.raises(DataError, match="only some segments of agent 'policy' have advantages"):
        Group(0, task, (trajectory(task, segments=(given,)), trajectory(task, segments=(bare,))))
    untrainable = make_segment(trainable=False)
    Group(0, task, (trajectory(task, segments=(given,)), trajectory(task, segments=(untrainable,))))


@pytest.mark.parametrize("numbers", [(1, 1), (1, 0), (-1, 0), (0, True), (0.0, 1.0), ("0", "1"), (0, None)])
def test_a_group_refuses_numbers_of_attempts_that_do_not_rise(numbers: Any) -> None:
    task = Task("q")
    with pytest.raises(DataError, match="whole, 0 or more and rising, found"):
        Group(0, task, (trajectory(task), trajectory(task)), numbers)
    assert Group(0, task, (trajectory(task), trajectory(task)), (0, 2)).attempts == (0, 2)
