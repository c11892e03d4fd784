"""Attempts at one task, judged against each other."""

import asyncio
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def scores(name: str, *texts: str, answer: str = "42", **params: Any) -> list[float | None]:
    rubric = Rubric(use("number"), use(name, **params))
    cases = []
    for text in texts:
        one = Trajectory(Task("q", answer), messages={"policy": ({"role": "assistant", "content": text},)})
        cases.append(Case(one.with_rewards({"policy": asyncio.run(rubric.score(Case(one)))})))
    return [reward.score(name) for reward in asyncio.run(rubric.score_group(cases))]


def test_the_shortest_right_attempt_earns_most_and_a_wrong_one_nothing_however_short() -> None:
    found = scores("relative_length", "42", "so it is 42", "I would say it is 42", "7", "")
    assert found == [1.0, pytest.approx(0.5), 0.0, 0.0, 0.0]


def test_equal_lengths_are_equally_short() -> None:
    assert scores("relative_length", "42", "42", "a very long wrong answer") == [1.0, 1.0, 0.0]
    assert scores("relative_length", "7", "8") == [0.0, 0.0]


def test_another_reward_may_say_what_is_right() -> None:
    assert scores("relative_length", "42", "42 ", of="number") == [1.0, 0.0]
    assert scores("relative_length", "42", "42 ", of="exact") == [0.0, 0.0]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("a", "b", "a"), [1.0, 0.0, 1.0]),
        (("a", "b"), [0.0, 0.0]),
        (("", "", "a"), [0.0, 0.0, 1.0]),
        (("", ""), [0.0, 0.0]),
        (("<think>x</think>a b", "<think>y</think>a  b", "c"), [1.0, 1.0, 0.0]),
        (("<think>a", "<think>a", "b"), [0.0, 0.0, 1.0]),
    ],
)
def test_the_majority_is_the_most_frequent_answer_if_there_is_one(texts: Any, expected: list[float]) -> None:
    assert scores("majority", *texts) == expected


def test_case_may_be_ignored() -> None:
    assert scores("majority", "Yes", "yes", "no", ignore_case=True) == [1.0, 1.0, 0.0]


def test_agreement_pays_only_for_attempts_that_passed() -> None:
    assert scores("consistency", "<answer>42</answer>", "so \\boxed{42}", "42 ", "7") == [pytest.approx(2 / 3)] * 3 + [
        0.0
    ]
    assert scores("consistency", "It is 42", "42", "42") == [0.0, 0.5, 0.5]
    assert scores("consistency", "7", "7", "7") == [0.0] * 3
    assert scores("consistency", "", "<think>42</think>", "42") == [0.0] * 3
