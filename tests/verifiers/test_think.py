"""Reasoning and answer are told apart, and the format is asked for."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.think import split_reasoning
from lachesis.verifiers.trajectory import Trajectory


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("42", "", "42"),
        ("<think>hm</think>42", "hm", "42"),
        ("hm</think> 42", "hm", "42"),
        ("<think>hm", "hm", ""),
        ("so <think>hm", "hm", "so"),
        ("<think>a</think> b <think>c</think> d", "a</think> b <think>c", "d"),
        ("<think>a</think> b <think>c", "a\nc", "b"),
        ("", "", ""),
    ],
)
def test_what_stands_in_a_block_is_reasoning_and_never_the_answer(text: str, reasoning: str, answer: str) -> None:
    assert split_reasoning(text) == (reasoning, answer)


@given(st.lists(st.sampled_from(["<think>", "</think>", "x", " "]), max_size=12).map("".join))
def test_no_tag_ever_stands_in_an_answer(text: str) -> None:
    answer = split_reasoning(text)[1]
    assert "<think>" not in answer
    assert "</think>" not in answer


def status(text: str, **params: object) -> tuple[str, str]:
    case = Case(Trajectory(Task("q"), messages={"policy": ({"role": "assistant", "content": text},)}))
    verdict = asyncio.run(make_verifier("format", params).verify(case))
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("42", "0 opened"),
        ("<think>a", "0 closed"),
        ("a</think>42", "0 opened and 1 closed"),
        ("<think>a</think><think>b</think>42", "2 opened"),
        ("42 <think>a</think> 42", "before"),
        ("</think>a<think>42", "before"),
        ("<think>a</think>  ", "no answer"),
    ],
)
def test_each_fault_of_the_format_has_its_reason(text: str, reason: str) -> None:
    found, why = status(text)
    assert found == "wrong"
    assert reason in why


def test_one_closed_block_and_an_answer_pass() -> None:
    assert status(" <think>\na\n</think>\n42")[0] == "ok"
    assert status("<why>a</why>42", tag="why")[0] == "ok"


def test_a_block_that_is_not_required_may_be_missing_but_not_broken() -> None:
    assert status("42", required=False)[0] == "ok"
    assert status("", required=False)[0] == "wrong"
    assert status("<think>42", required=False)[0] == "wrong"
