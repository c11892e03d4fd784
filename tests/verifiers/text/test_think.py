"""Reasoning and answer are told apart, and the format is asked for."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.think import split_reasoning
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
        ("<Think>a</THINK>b", "a", "b"),
        ("< think >a</ think>b", "a", "b"),
        ('<think budget="3">a</think>b', "a", "b"),
        ("<think>a<Think>b</think>c", "a<Think>b", "c"),
        ("<thinking>a</thinking>", "", "<thinking>a</thinking>"),
        ("<think/>a", "", "<think/>a"),
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
        ("<think> \n</think>42", "empty"),
        ("<Think>a</Think>42", "a misspelt tag"),
        ("<think>a</think >42", "a misspelt tag"),
        ('<think a="b">a</think>42', "a misspelt tag"),
        ("<think>a</think>42<THINK>", "a misspelt tag"),
        ("<think>a<think>b</think></think>42", "2 opened"),
        ("<think>a</think>```\n<think>\n```", "2 opened"),
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


def test_a_template_may_have_opened_the_block_already() -> None:
    assert status("a</think>42", prefilled=True)[0] == "ok"
    for text in ("<think>a</think>42", "</think>42", "a</think>", "a</think>b</think>c", "42"):
        assert status(text, prefilled=True)[0] == "wrong", text


def test_an_empty_block_passes_only_where_none_is_required() -> None:
    assert status("<think></think>42", required=False)[0] == "ok"
    assert status("<think></think>42")[0] == "wrong"


@pytest.mark.parametrize("tag", ["", "<think>", "a b", 3])
def test_a_tag_is_a_name(tag: object) -> None:
    with pytest.raises(ConfigError, match=r"tag (must be a name|is text)"):
        make_verifier("format", {"tag": tag})


@pytest.mark.parametrize("piece", ["<", "< ", "<think", "<think ", "<think>", "</think>", "</ ", "<think a", " "])
def test_long_texts_are_split_at_once(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    split_reasoning(text)
    status(text)
    assert time.process_time() - start < 4
