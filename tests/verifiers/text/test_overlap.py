"""Token F1."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(text: str, answer: Any = None, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier("f1", params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize(
    ("text", "answer", "score", "status"),
    [
        ("Paris", "Paris", 1, "ok"),
        ("the Paris!", ["Rome", "paris"], 1, "ok"),
        ("in Paris France", "Paris", 0.5, "ok"),
        ("it is in Paris France", "Paris", 2 / 6, "wrong"),
        ("Rome", "Paris", 0, "wrong"),
        ("Paris Paris Paris", "Paris", 0.5, "ok"),
        ("", "Paris", 0, "unparseable"),
        ("<think>Paris</think>", "Paris", 0, "unparseable"),
        ("Paris", None, None, "infra_error"),
        ("Paris", [], None, "infra_error"),
    ],
)
def test_the_score_is_the_best_f1(text: str, answer: Any, score: float | None, status: str) -> None:
    verdict = judge(text, answer)
    assert verdict.status == status
    assert verdict.score == (None if score is None else pytest.approx(score))


def test_the_pass_mark_moves_the_status_and_not_the_score() -> None:
    verdict = judge("in Paris France", "Paris", pass_mark=1)
    assert (verdict.status, verdict.score) == ("wrong", 0.5)
    with pytest.raises(ConfigError, match="pass_mark"):
        make_verifier("f1", {"pass_mark": 0})


@given(st.text(max_size=100), st.text(min_size=1, max_size=30))
def test_any_text_gets_a_score_from_0_to_1(text: str, answer: str) -> None:
    score = judge(text, answer).score
    assert score is None or 0 <= score <= 1
