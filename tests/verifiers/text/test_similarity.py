"""ROUGE and the edit distance: published values, plain definitions, and bounds."""

import asyncio
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.similarity import MAX_ITEMS, common_length, distance
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

SHORT = st.text("abc", max_size=8)


def judge(name: str, text: str, answer: Any, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier(name, params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@given(SHORT, SHORT)
def test_the_distance_is_that_of_the_definition(a: str, b: str) -> None:
    @cache
    def plain(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(plain(i - 1, j) + 1, plain(i, j - 1) + 1, plain(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert distance(a, b) == plain(len(a), len(b))


@given(SHORT, SHORT)
def test_the_common_subsequence_is_that_of_the_definition(a: str, b: str) -> None:
    @cache
    def plain(i: int, j: int) -> int:
        if not i or not j:
            return 0
        return max(plain(i - 1, j), plain(i, j - 1), plain(i - 1, j - 1) + (a[i - 1] == b[j - 1]))

    assert common_length(a, b) == plain(len(a), len(b))


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("police kill the gunman", {"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 3 / 4}),
        ("the gunman kill police", {"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 1 / 2}),
    ],
)
def test_rouge_of_the_papers_example(text: str, scores: dict[str, float]) -> None:
    """Section 3 of Lin (2004), with a word for the article, which is normalised away."""
    text, reference = text.replace("the", "this"), "police killed this gunman"
    for variant, score in scores.items():
        assert judge("rouge", text, reference, variant=variant).score == pytest.approx(score), variant


def test_the_best_reference_counts_and_the_pass_mark_decides() -> None:
    assert judge("rouge", "a cat", ["dogs", "a cat!"]).score == 1.0
    assert judge("edit_distance", "Paris", ["London", "Pariz"]).score == pytest.approx(0.8)
    assert judge("edit_distance", "Paris", "Pariz", pass_mark=0.9).status == "wrong"
    assert judge("edit_distance", "PARIS", "paris", ignore_case=True).score == 1.0
    assert judge("edit_distance", "<think>no</think> two  words ", "two words").score == 1.0
    assert judge("edit_distance", "one two three", "one three", unit="words").score == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["rouge", "edit_distance"])
def test_empty_and_long_answers_earn_nothing(name: str) -> None:
    for text in ("", " \n", "<think>a cat</think>"):
        assert judge(name, text, "a cat").status == "unparseable"
    assert judge(name, "a " * (MAX_ITEMS + 1), "a cat").status == "limit"
    assert judge(name, "b " * (MAX_ITEMS // 2), "a cat").status == "wrong"
    for answer in (None, "", []):
        assert judge(name, "a cat", answer).status == "infra_error"


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("rouge", {"variant": "rougel"}, "'rougeL'"),
        ("rouge", {"pass_mark": 0}, "pass_mark"),
        ("edit_distance", {"unit": "word"}, "'words'"),
        ("edit_distance", {"pass_mark": 2}, "pass_mark"),
    ],
)
def test_parameters_that_cannot_be_are_refused(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_verifier(name, params)
