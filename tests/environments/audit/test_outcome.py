"""What an audited attempt earned: passing, and earning as much as the perfect attempt."""

import pytest

from lachesis.environments.audit.outcome import difference, earns, passes
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed, wrong

TASK = Task("q")


def reward(*verdicts: Verdict, success_total: float | None = None) -> Reward:
    """Parts of the weights 1, 1/2, …, labelled a, b, …"""
    parts = tuple(Component("abc"[place], 1 / (place + 1), verdict) for place, verdict in enumerate(verdicts))
    return Reward(parts, success_total=success_total)


def attempt(earned: Reward, said: str = "hi") -> Trajectory:
    messages = {POLICY: ({"role": "assistant", "content": said},)}
    return Trajectory(TASK, messages=messages, rewards={POLICY: earned})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("earned", "whether"),
    [
        (reward(passed()), True),
        (reward(wrong("no")), False),
        (reward(wrong("no"), passed()), False),
        (reward(Verdict(0.25, graded=True)), True),
        (reward(Verdict(0.0, graded=True)), False),
        (reward(Verdict(0.25, graded=True), success_total=0.5), False),
        (reward(infra_error("the checker is away")), False),
    ],
    ids=["passed", "wrong", "a lighter part passed", "graded", "graded 0", "below the least total", "unscored"],
)
def test_a_reward_passes_if_it_is_a_success_or_else_above_0(earned: Reward, whether: bool) -> None:
    assert passes(earned) is whether


@pytest.mark.parametrize(
    ("earned", "whether"),
    [
        (reward(passed(), passed()), True),
        (reward(passed(), wrong("no")), True),
        (reward(passed(score=0.5), wrong("no")), False),
        (reward(wrong("no"), passed()), False),
        (reward(wrong("no"), passed(score=3.0)), True),
    ],
    ids=["all", "the heaviest part", "half of the heaviest part", "another part", "as much in total"],
)
def test_an_attempt_earns_as_much_as_the_perfect_one_in_total_or_by_the_heaviest_part(
    earned: Reward, whether: bool
) -> None:
    assert earns(attempt(earned), attempt(reward(passed(), passed())), POLICY) is whether


def test_the_first_message_that_differs_is_named_and_otherwise_the_totals() -> None:
    one = attempt(reward(passed()), "hi")
    assert difference(one, attempt(reward(passed()), "ho")) == "assistant message 'hi' and 'ho'"
    assert difference(one, attempt(reward(wrong("no")), "hi")) == "rewards {'policy': 1.0} and {'policy': 0.0}"
