"""Exact and numeric matching."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(name: str, text: str, answer: Any, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier(name, params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


def test_exact_compares_the_answer_without_reasoning_and_white_space() -> None:
    assert judge("exact", "<think>43?</think>\n 42 \n", "42").passed
    assert judge("exact", "42", 42).passed
    assert judge("exact", "42.", "42").status == "wrong"
    assert judge("exact", "Yes", "yes").status == "wrong"
    assert judge("exact", "Yes", "yes", ignore_case=True).passed


@pytest.mark.parametrize("name", ["exact", "number", "math"])
def test_a_task_without_an_answer_is_a_broken_dataset_and_not_a_wrong_reply(name: str) -> None:
    verdict = judge(name, "None", None)
    assert verdict.status == "infra_error"
    assert verdict.score is None


@pytest.mark.parametrize(
    ("text", "answer", "status"),
    [
        ("the sum is 1,080.", "1080", "ok"),
        ("-3", "-3", "ok"),
        ("−3", "-3", "ok"),
        ("10-3 is 7", 7, "ok"),
        ("it is 5-3", "3", "ok"),
        ("first 7, then 8", "7", "wrong"),
        ("<think>7</think> none", "7", "unparseable"),
        (".5", 0.5, "ok"),
        ("7", "seven", "infra_error"),
        ("1" * 1999, "1", "wrong"),
        ("1", "9e9999999", "infra_error"),
    ],
)
def test_number_compares_the_last_number(text: str, answer: Any, status: str) -> None:
    assert judge("number", text, answer).status == status


def test_the_tolerance_is_absolute_and_inclusive() -> None:
    assert judge("number", "3.25", "3", tolerance=0.25).passed
    assert judge("number", "3.26", "3", tolerance=0.25).status == "wrong"


@given(st.text(alphabet="0123456789,.-+eE$% \n", max_size=200))
def test_no_text_makes_number_raise(text: str) -> None:
    assert judge("number", text, "7").status in ("ok", "wrong", "unparseable")
