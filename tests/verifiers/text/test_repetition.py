"""Repetition: shares of n-grams, rows of lines, loops at the end."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.repetition import longest_run, loop_period, repeated_share
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(text: str, answer: Any = None, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(
        make_verifier("repetition", params).verify(Case(Trajectory(Task("q", answer), messages=messages)))
    )


PROSE = (
    "The tide comes in twice a day because the moon pulls the sea towards it. On the far side of the earth the pull is "
    "weaker, and so the water bulges there as well. Between the two bulges it is low. As the earth turns, each coast "
    "passes through both, which is why the harbour fills and empties. Storms and the shape of a bay change the hour."
)


def test_prose_lists_tables_and_code_pass() -> None:
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(20))
    code = "def f(x):\n    return x + 1\n\n\ndef g(x):\n    return x * 2\n"
    for text in (
        PROSE,
        table,
        code,
        "\n".join(f"{n}. item {n}" for n in range(50)),
        "42",
        "=" * 80,
        f"{PROSE}\n{'-' * 150}",
    ):
        assert judge(text).passed, text[:40]


def test_what_a_degenerate_sampler_writes_fails() -> None:
    for text in (
        PROSE + " I think so." * 30,
        PROSE + "\nWait.\n" * 8 + PROSE[::-1],
        "word " * 200,
        "哈" * 300,
        PROSE + "\n" * 400,
        PROSE + "abc" * 100 + "ab\n",
        " ".join([PROSE] * 5),
    ):
        verdict = judge(text)
        assert (verdict.status, verdict.score) == ("wrong", 0), text[-40:]


def test_the_share_falls_off_over_the_margin() -> None:
    half = "a b c d e f g h " * 2  # of 13 4-grams 5 repeat
    assert judge(half, maximum=5 / 13).passed
    verdict = judge(half, maximum=4 / 13, margin=2 / 13)
    assert verdict.status == "wrong"
    assert verdict.score == pytest.approx(0.5)
    assert judge(half, maximum=4 / 13, margin=0).score == 0


def test_of_says_which_part_is_looked_at() -> None:
    text = "<think>" + "no no " * 100 + "</think>Fine, thank you."
    assert judge(text, of="answer").passed
    assert judge(text, of="reasoning").status == "wrong"
    assert judge(text).status == "wrong"
    assert judge("<think>only this").status == "ok"
    assert judge("<think>only this", of="answer").status == "unparseable"
    assert judge("").status == "unparseable"


@given(st.text(alphabet="ab", min_size=1, max_size=6), st.integers(4, 9), st.text(alphabet="xyz", max_size=5))
def test_a_loop_is_found_with_a_period_that_repeats_it(unit: str, times: int, before: str) -> None:
    text = before + unit * times
    period = loop_period(text, 4, 4)
    assert period > 0
    assert text.endswith(text[-period:] * 4)


@given(st.text(alphabet="ab", max_size=40), st.integers(2, 5))
def test_loops_are_those_that_a_plain_search_finds(text: str, times: int) -> None:
    plain = any(text.endswith(text[-n:] * times) for n in range(1, len(text) // times + 1))
    assert bool(loop_period(text, times, 1)) is plain


def test_counts_are_exact() -> None:
    assert repeated_share(list("ababa"), 2) == 0.5
    assert repeated_share(["a"], 2) == 0
    assert longest_run("aabbbc") == 3
    assert longest_run("") == 0


def test_random_text_has_no_loop() -> None:
    drawn = random.Random(0).choices("abcdefgh ", k=20_000)
    assert loop_period("".join(drawn), 4, 20) == 0


@pytest.mark.parametrize("params", [{"n": 0}, {"loops": 1}, {"maximum": 2}, {"of": "x"}, {"lines": True}, {"n": "4"}])
def test_parameters_that_cannot_be_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="repetition"):
        make_verifier("repetition", params)


@given(st.text(max_size=300))
def test_no_text_makes_it_raise(text: str) -> None:
    assert judge(text).status in ("ok", "wrong", "unparseable")
