"""Length budgets: units, parts, and the edges of the bounds."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def case(text: str, answer: Any = None) -> Case:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return Case(Trajectory(Task("q", answer), messages=messages))


def judge(text: str, answer: Any = None, **params: Any) -> Verdict:
    return asyncio.run(make_verifier("length", params).verify(case(text, answer)))


@pytest.mark.parametrize(
    ("unit", "text", "count"),
    [
        ("characters", "  abc d ", 5),
        ("words", "don't stop, 3.5", 5),
        ("words", "- a\n- b", 2),
        ("sentences", "Mr. Smith came. He saw! Why?", 3),
        ("sentences", "It costs 3.50. Fine", 2),
        ("sentences", "1. One thing.\n2. Another.", 2),
        ("sentences", "你好。再见。", 2),
        ("sentences", "Apples, pears, etc. are fruit. Yes", 2),
        ("sentences", "...", 0),
        ("lines", "a\n\n b \n", 2),
    ],
)
def test_each_unit_is_counted(unit: str, text: str, count: int) -> None:
    assert judge(text, unit=unit, minimum=0).evidence["count"] == count
    assert judge(text, unit=unit, minimum=count, maximum=count).passed
    assert judge(text, unit=unit, minimum=count + 1).status == "wrong"


def test_answer_and_reasoning_are_counted_apart() -> None:
    text = "<think>one two three</think>four"
    counts = {of: judge(text, unit="words", of=of).evidence["count"] for of in ("answer", "reasoning", "both")}
    assert counts == {"answer": 1, "reasoning": 3, "both": 4}


def test_an_empty_answer_is_too_short_however_soft_the_edge() -> None:
    for text in ("", "  ", "<think>all of it</think>", "<think>all of it"):
        verdict = judge(text, maximum=10, margin=100)
        assert (verdict.status, verdict.score) == ("wrong", 0)
    assert judge("", minimum=0, maximum=10).passed


def test_a_soft_edge_falls_in_a_straight_line() -> None:
    scores = [judge("x" * n, minimum=10, maximum=20, margin=4).score for n in (5, 6, 8, 10, 20, 21, 24, 25)]
    assert scores == [0, 0, 0.5, 1, 1, 0.75, 0, 0]
    assert [judge("x" * n, maximum=2).score for n in (2, 3)] == [1, 0]


def with_tokens(*segments: Segment, **params: Any) -> Verdict:
    verifier = make_verifier("length", {"unit": "tokens", "of": "both", **params})
    return asyncio.run(verifier.verify(Case(Trajectory(Task("q"), segments=segments))))


def segment(context: int, sampled: int, agent: str = "policy") -> Segment:
    flags = [False] * context + [True] * sampled
    return Segment(  # type: ignore[arg-type]
        tokens=list(range(len(flags))),
        sampled=flags,
        mask=flags,
        logprobs=[-1.0 if flag else float("nan") for flag in flags],
        versions=[0 if flag else -1 for flag in flags],
        agent=agent,
    )


def test_tokens_are_those_that_the_agent_sampled() -> None:
    verdict = with_tokens(segment(5, 3), segment(8, 2), segment(1, 9, agent="other"), maximum=5)
    assert verdict.passed
    assert verdict.evidence["count"] == 5
    assert with_tokens(segment(1, 9, agent="other"), maximum=5).status == "infra_error"
    assert with_tokens(maximum=5).status == "infra_error"


def test_dapos_punishment_is_one_setting() -> None:
    dapo = {"minimum": 0, "maximum": 16, "margin": 4, "penalty": True}
    assert [with_tokens(segment(1, n), **dapo).score for n in (1, 16, 17, 20, 30)] == [0, 0, -0.25, -1, -1]


def test_a_punishment_that_was_not_earned_passes_and_one_that_was_does_not() -> None:
    dapo = {"minimum": 0, "maximum": 16, "margin": 4, "penalty": True}
    assert [with_tokens(segment(1, n), **dapo).passed for n in (1, 16, 17, 20)] == [True, True, False, False]
    assert Verdict.from_json(with_tokens(segment(1, 1), **dapo).to_json()).passed


def test_a_punishment_may_be_a_gate() -> None:
    rubric = Rubric(use("length", gate=True, maximum=3, penalty=True), use("exact"))
    totals = [asyncio.run(rubric.score(case(text, text))).total for text in ("abc", "abcd")]
    assert totals == [1.0, 0.0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"unit": "word"}, "did you mean 'words'"),
        ({"of": "all"}, "known: answer, both, reasoning"),
        ({"unit": "tokens"}, "set of = 'both'"),
        ({"maximum": 1, "minimum": 2}, "swap them"),
        ({"maximum": -1}, "maximum must not be negative"),
        ({"margin": float("nan")}, "margin must not be negative"),
        ({"minimum": True}, "minimum must not be negative"),
        ({"maximum": "9"}, "maximum must not be negative"),
    ],
)
def test_bounds_that_cannot_be_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_verifier("length", params)


@given(st.text(max_size=200), st.sampled_from(["characters", "words", "sentences", "lines"]), st.integers(0, 9))
def test_any_text_gets_a_score_from_0_to_1(text: str, unit: str, margin: int) -> None:
    score = judge(text, unit=unit, minimum=2, maximum=9, margin=margin).score
    assert score is not None
    assert 0 <= score <= 1
