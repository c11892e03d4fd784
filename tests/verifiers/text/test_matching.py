"""Exact and numeric matching."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.normalization import normalized, references
from lachesis.verifiers.text.think import split_reasoning
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


@pytest.mark.parametrize(
    ("text", "answer", "score"),
    [
        ("1.5e-3", 0.0015, 1),
        ("about 1e-5", "1e-5", 1),
        (r"$2 \times 10^{5}$", 200000, 1),
        ("2 × 10^3", 2000, 1),
        ("3/4", 0.75, 1),
        (r"\frac{3}{4}", "3/4", 1),
        ("on 1/2/2024", 2024, 1),
        ("5 m^2", 5, 1),
        (r"5 m^{2}", 5, 1),
        ("7 g of H2O", 7, 1),
        ("x2", 2, 1),
        ("x^2 = 9", 9, 1),
        ("1,000,000", 10**6, 1),
        ("2e5x", 5, 0),
        (r"1{,}000{,}000", 10**6, 1),
        (r"1\,000", 1000, 1),
        ("1\u202f000", 1000, 1),
        ("1\u202f000", 0, 0),
        ("1_000", 1000, 1),
        (r"\frac12", 0.5, 1),
        ("–5", -5, 1),
        ("3–5", 5, 1),
        ("٤٢", 42, 1),
        ("４２", 42, 1),
    ],
)
def test_number_reads_how_numbers_are_written(text: str, answer: Any, score: float) -> None:
    assert judge("number", text, answer).score == score


def test_a_tolerance_is_what_it_looks_like_and_may_be_relative() -> None:
    assert judge("number", "3.3", "3", tolerance=0.3).passed, "0.3 as a double is below 3/10"
    assert judge("number", "101", "100", relative_tolerance=0.01).passed
    assert judge("number", "101.1", "100", relative_tolerance=0.01).status == "wrong"
    assert judge("number", "-101", "-100", relative_tolerance=0.01).passed
    assert judge("number", "0.1", "0", relative_tolerance=0.5).status == "wrong"
    assert judge("number", "0.1", "0", relative_tolerance=0.5, tolerance=0.1).passed


@pytest.mark.parametrize(
    ("text", "answer", "same"),
    [
        ("The Beatles!", "beatles", True),
        ("  an   apple ", "Apple.", True),
        ("ＡＢＣ ①", "abc 1", True),
        ("U.S.A.", "USA", True),
        ("don't", "dont", True),
        ("1,000", "1000", True),
        ("½", "1/2", True),
        ("The", "the", True),
        ("A", "a.", True),
        ("...", "...", True),
        ("-5", "5", False),
        ("3.5", "35", False),
        ("50%", "50", False),
        ("C++", "C", False),
        ("C#", "C", False),
        ("Paris", "Rome", False),
        ("", "the", False),
        ("Paris or Rome", "Paris", False),
        ("<think>Paris</think>", "Paris", False),
        ("<THINK>Paris</THINK>", "Paris", False),
    ],
)
def test_normalised_texts_are_compared_as_squad_does_with_numbers_kept_apart(
    text: str, answer: str, same: bool
) -> None:
    assert judge("exact", text, answer, normalized=True).passed is same


def test_one_of_several_references_is_enough() -> None:
    for text in ("Paris", "Rome"):
        assert judge("exact", text, ["Paris", "Rome"]).passed
    assert judge("exact", "Paris, Rome", ["Paris", "Rome"]).status == "wrong"
    assert judge("exact", "x", []).status == "infra_error"
    assert judge("exact", "", [None, " "]).status == "infra_error"
    assert judge("exact", "", "x").status == "unparseable"


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_and_a_text_equals_itself(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
    if references(text) and split_reasoning(text)[1] == text.strip():
        assert judge("exact", text, text, normalized=True).passed


@given(st.text(alphabet="0123456789,.-+eE$% \n", max_size=200))
def test_no_text_makes_number_raise(text: str) -> None:
    assert judge("number", text, "7").status in ("ok", "wrong", "unparseable")
