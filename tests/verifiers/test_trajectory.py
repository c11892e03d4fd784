"""Trajectories: what could not be stored is refused where it is made, and JSON changes nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import SCHEMA_VERSION, StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed

NAN = float("nan")


@pytest.mark.parametrize(
    "fields",
    [
        {"metrics": {"loss": NAN}},
        {"artifacts": {"board": {1, 2}}},
        {"messages": {"policy": ({"role": "assistant", "content": None},)}},
    ],
)
def test_a_trajectory_refuses_what_could_not_be_stored(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Trajectory(Task("q"), **fields)


@given(st.data(), st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(StopReason))
def test_any_trajectory_survives_json(
    make_segment: Callable[..., Segment],
    same_segment: Callable[[Segment, Segment], bool],
    json_values: st.SearchStrategy[Any],
    data: st.DataObject,
    text: str,
    label: str,
    number: float,
    stop: StopReason,
) -> None:
    left = data.draw(json_values)
    reward = Reward((Component(label, 0.5, Verdict(number, "ok", text, {"left": left}, 0.25)),))
    made = Trajectory(
        Task(text),
        environment=label,
        messages={"policy": ({"role": "user", "content": text}, {"role": "assistant", "content": text})},
        segments=(make_segment(),),
        artifacts={"left": left},
        stop=stop,
        error=text,
        metrics={label: number},
        timings={"episode": 1.5},
        rewards={"policy": reward},
    )
    row = json.loads(json.dumps(made.to_json(), allow_nan=False))
    again = Trajectory.from_json(row)
    assert row["schema"] == SCHEMA_VERSION
    assert again.to_json() == made.to_json()
    assert same_segment(again.segments[0], made.segments[0])
    assert again.rewards["policy"] == reward


def test_a_trajectory_of_another_schema_or_none_at_all_is_refused() -> None:
    row = Trajectory(Task("q")).to_json()
    with pytest.raises(DataError, match="schema 99"):
        Trajectory.from_json(row | {"schema": 99})
    with pytest.raises(DataError, match="schema None"):
        Trajectory.from_json({})
    with pytest.raises(DataError, match="not a stored trajectory"):
        Trajectory.from_json(row | {"stop": "tired"})
    with pytest.raises(DataError, match="not a stored trajectory"):
        Trajectory.from_json({"schema": SCHEMA_VERSION})


def test_the_completion_is_the_agents_last_reply() -> None:
    messages: Any = {"x": [{"role": "assistant", "content": c} for c in "ab"] + [{"role": "user", "content": "c"}]}
    made = Trajectory(Task("q"), messages=messages)
    assert (made.completion("x"), made.completion("y")) == ("b", "")


def test_a_trajectory_is_scored_only_when_every_agent_was_judged() -> None:
    made = Trajectory(Task("q"))
    assert not made.scored
    good, bad = Reward((Component("a", 1.0, passed()),)), Reward((Component("a", 1.0, infra_error("x")),))
    assert made.with_rewards({"x": good}).scored
    assert not made.with_rewards({"x": good, "y": bad}).scored
