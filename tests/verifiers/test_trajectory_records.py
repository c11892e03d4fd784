"""The records of a run: bad data is refused where it is made, good data survives JSON."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import SCHEMA_VERSION, StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed, unparseable, wrong

NAN = float("nan")


def segment(**changes: Any) -> Segment:
    """One context token, then two sampled ones."""
    fields: dict[str, Any] = {
        "tokens": np.array([5, 6, 7]),
        "sampled": np.array([False, True, True]),
        "mask": np.array([False, True, True]),
        "logprobs": np.array([NAN, -0.5, -1.5]),
        "versions": np.array([-1, 3, 3]),
    }
    return Segment(**(fields | changes))


def same(left: Segment, right: Segment) -> bool:
    names = ("tokens", "sampled", "mask", "logprobs", "versions", "rewards", "advantages")
    for name in names:
        a, b = getattr(left, name), getattr(right, name)
        if (a is None) != (b is None):
            return False
        if a is not None and (a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=a.dtype == np.float32)):
            return False
    extra = left.extra.keys() == right.extra.keys() and all(
        left.extra[k].dtype == right.extra[k].dtype and np.array_equal(left.extra[k], right.extra[k], equal_nan=True)
        for k in left.extra
    )
    scalars = ("temperature", "agent", "trainable")
    return extra and all(getattr(left, name) == getattr(right, name) for name in scalars)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": np.array([[5, 6, 7]])}, "one non-empty row"),
        ({"tokens": np.array([], dtype=np.int32)}, "one non-empty row"),
        ({"tokens": np.array([5.0, 6.0, 7.0])}, "tokens are integers"),
        ({"tokens": np.array([True, False, True])}, "tokens are integers"),
        ({"tokens": np.array([5, 6, 2**40])}, "fit int32"),
        ({"tokens": np.array([-1, 6, 7])}, "not negative"),
        ({"sampled": np.array([0, 1, 1])}, "sampled are bool"),
        ({"mask": np.array([False, True])}, "one length"),
        ({"logprobs": np.array([NAN, -0.5])}, "one length"),
        ({"logprobs": np.array([NAN, 0.5, -1.0])}, "0 or less"),
        ({"logprobs": np.array([NAN, NAN, -1.0])}, "finite"),
        ({"logprobs": np.array([NAN, -math.inf, -1.0])}, "finite"),
        ({"logprobs": np.array([-0.1, -0.5, -1.0])}, "logprob NaN"),
        ({"logprobs": np.array([None, -0.5, -1.0])}, "float32"),
        ({"versions": np.array([-1, -1, 3])}, "0 or more"),
        ({"versions": np.array([-1, 4, 3])}, "never decrease"),
        ({"versions": np.array([3, 3, 3])}, "version -1"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": NAN}, "temperature"),
        ({"rewards": np.array([0.0, math.inf, 0.0])}, "rewards are finite"),
        ({"advantages": np.array([0.0, NAN, 0.0])}, "advantages are finite"),
        ({"advantages": np.array([0.0])}, "one length"),
        ({"extra": {"reference": [0.0]}}, "one length"),
    ],
)
def test_a_segment_refuses_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        segment(**changes)


def test_a_segment_keeps_its_dtypes_whatever_it_is_given() -> None:
    made = segment(tokens=[5, 6, 7], rewards=[0, 1, 2], extra={"reference": [0.0, 1.0, 2.0]})
    assert (made.tokens.dtype, made.logprobs.dtype, made.versions.dtype) == (np.int32, np.float32, np.int32)
    assert made.rewards is not None
    assert made.rewards.dtype == np.float32
    assert len(made) == 3


@given(st.data())
def test_any_segment_survives_json(data: st.DataObject) -> None:
    sampled = data.draw(st.lists(st.booleans(), min_size=1, max_size=20))
    n = len(sampled)
    logprob = st.floats(-50, 0, width=32)
    version = iter(sorted(data.draw(st.lists(st.integers(0, 99), min_size=n, max_size=n))))
    optional = st.none() | st.lists(st.floats(-9, 9, width=32), min_size=n, max_size=n)
    made = segment(
        tokens=data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=n, max_size=n)),
        sampled=np.array(sampled),
        mask=np.array(sampled),
        logprobs=np.array([data.draw(logprob) if is_sampled else NAN for is_sampled in sampled]),
        versions=np.array([next(version) if is_sampled else -1 for is_sampled in sampled]),
        temperature=data.draw(st.floats(0, 5)),
        rewards=data.draw(optional),
        advantages=data.draw(optional),
        extra={"reference": np.arange(n, dtype=np.float16), "route": np.full(n, 3, dtype=np.int64)},
        agent=data.draw(st.text()),
        trainable=data.draw(st.booleans()),
    )
    assert same(made, Segment.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False))))


@pytest.mark.parametrize(
    ("score", "status"),
    [
        (0.0, "infra_error"),
        (None, "ok"),
        (None, "timeout"),
        (NAN, "ok"),
        (math.inf, "wrong"),
        (True, "ok"),
        ("1", "ok"),
        (0.5, "timeout"),
        (1.0, "limit"),
        (1.0, "unparseable"),
        (1.0, "good"),
    ],
)
def test_a_verdict_refuses_a_score_that_its_status_cannot_have(score: Any, status: Any) -> None:
    with pytest.raises(DataError):
        Verdict(score, status)


@pytest.mark.parametrize("evidence", [{"found": {1, 2}}, {"found": NAN}, {"found": object()}])
def test_a_verdict_refuses_evidence_that_is_not_json(evidence: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="JSON"):
        Verdict(1.0, evidence=evidence)


def test_only_a_positive_ok_verdict_passed() -> None:
    verdicts = [passed(), passed(score=0.0), wrong("no"), wrong("half", score=0.5), unparseable("?"), infra_error("!")]
    assert [verdict.passed for verdict in verdicts] == [True, False, False, False, False, False]


def test_a_reward_is_the_weighted_sum_and_a_weight_of_zero_is_a_metric() -> None:
    reward = Reward((Component("a", 2.0, passed()), Component("b", -0.5, passed()), Component("m", 0.0, passed())))
    assert reward.total == 1.5
    assert reward.score("m") == 1.0
    with pytest.raises(KeyError):
        reward.score("nothing")


def test_an_infrastructure_error_never_becomes_a_total() -> None:
    reward = Reward((Component("a", 1.0, passed()), Component("b", 1.0, infra_error("the checker died"))))
    assert not reward.scored
    with pytest.raises(DataError, match="the checker died"):
        _ = reward.total


def test_an_infrastructure_error_in_a_metric_does_not_stop_the_reward() -> None:
    reward = Reward((Component("a", 1.0, passed()), Component("b", 0.0, infra_error("died"))))
    assert reward.scored
    assert reward.total == 1.0


def test_a_reward_refuses_two_equal_labels_and_weights_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="unique"):
        Reward((Component("a", 1.0, passed()), Component("a", 1.0, passed())))
    with pytest.raises(DataError, match="finite"):
        Reward((Component("a", NAN, passed()),))


@pytest.mark.parametrize(
    "prompt",
    [
        5,
        [],
        None,
        [{"role": "robot", "content": "hi"}],
        [{"role": ["user"], "content": "hi"}],
        [{"content": "hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user"}],
        ["hi"],
    ],
)
def test_a_task_refuses_a_prompt_that_is_neither_text_nor_messages(prompt: Any) -> None:
    with pytest.raises(DataError):
        Task(prompt)


@pytest.mark.parametrize("fields", [{"answer": {1}}, {"answer": NAN}, {"info": {"f": len}}, {"verify": ({"x": b""},)}])
def test_a_task_refuses_what_is_not_json(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="JSON"):
        Task("q", **fields)


def test_a_tasks_identity_is_its_content_and_not_its_name() -> None:
    assert Task("q", "a").hash == Task("q", "a", id="mine").hash
    assert len({Task("q").hash, Task("r").hash, Task("q", "a").hash, Task("q", info={"k": 1}).hash}) == 4
    assert Task("q").id == Task("q").hash


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), JSON, st.dictionaries(st.text(), JSON, max_size=3), st.text())
def test_any_task_survives_json(prompt: str, answer: Any, info: dict[str, Any], name: str) -> None:
    task = Task(prompt, answer, info, name, ({"verifier": "math"},))
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert again.hash == task.hash


def trajectory(task: Task, **fields: Any) -> Trajectory:
    return Trajectory(task, messages={"policy": ({"role": "assistant", "content": "a"},)}, **fields)


def test_a_group_refuses_to_be_empty_or_to_mix_tasks() -> None:
    with pytest.raises(DataError, match="empty"):
        Group(0, Task("q"), ())
    with pytest.raises(DataError, match="mixes tasks"):
        Group(0, Task("q"), (trajectory(Task("q")), trajectory(Task("r"))))


@pytest.mark.parametrize("name", ["advantages", "rewards"])
def test_a_group_refuses_given_values_in_only_some_segments(name: str) -> None:
    task = Task("q")
    given_, bare = segment(**{name: np.zeros(3)}), segment()
    with pytest.raises(DataError, match=f"only some segments bring {name}"):
        Group(0, task, (trajectory(task, segments=(given_,)), trajectory(task, segments=(bare,))))
    untrainable = segment(trainable=False)
    Group(0, task, (trajectory(task, segments=(given_,)), trajectory(task, segments=(untrainable,))))


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


@given(st.text(), st.text(), JSON, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(StopReason))
def test_any_trajectory_survives_json(text: str, label: str, left: Any, number: float, stop: StopReason) -> None:
    reward = Reward((Component(label, 0.5, Verdict(number, "ok", text, {"left": left}, 0.25)),))
    made = Trajectory(
        Task(text),
        environment=label,
        messages={"policy": ({"role": "user", "content": text}, {"role": "assistant", "content": text})},
        segments=(segment(),),
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
    assert same(again.segments[0], made.segments[0])
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


def test_a_verdict_on_turns_says_what_they_come_to() -> None:
    steps = [0.5, 1.0, 0.0]
    totals = {total: Verdict.of_steps(steps, total).score for total in ("mean", "sum", "min", "max", "last")}  # type: ignore[arg-type]
    assert totals == {"mean": 0.5, "sum": 1.5, "min": 0.0, "max": 1.0, "last": 0.0}
    made = Verdict.of_steps(steps, reason="by turn")
    assert made.steps == (0.5, 1.0, 0.0)
    assert Verdict.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert Verdict.of_steps([], "last").score == 0.0


def test_scores_of_turns_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        Verdict(1.0, steps=(0.5, NAN))
    with pytest.raises(DataError, match="mean or sum"):
        Verdict.of_steps([1.0], "median")  # type: ignore[arg-type]
    with pytest.raises(DataError):
        Verdict(None, "infra_error", steps=(1.0,))


def test_a_reward_behind_a_gate_survives_json_and_names_a_gate_that_is_there() -> None:
    made = Reward((Component("format", 1.0, wrong("no")),), "format", -1.0, ("math",), (-2.0, 2.0))
    assert Reward.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert (made.total, made.score("math"), made.success) == (-1.0, None, False)
    with pytest.raises(DataError, match="none of the rewards"):
        Reward((), gate="format")
    with pytest.raises(DataError, match="unique"):
        Reward((Component("a", 1.0, passed()),), skipped=("a",))
