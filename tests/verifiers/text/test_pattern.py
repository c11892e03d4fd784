"""Regular expressions: what matches, what is compared, and what ends in time."""

import asyncio
import time
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
    return asyncio.run(make_verifier("regex", params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize(
    ("text", "answer", "params", "status"),
    [
        ("2024-05-01", r"\d{4}-\d\d-\d\d", {}, "ok"),
        ("on 2024-05-01", r"\d{4}-\d\d-\d\d", {}, "wrong"),
        ("on 2024-05-01", r"\d{4}-\d\d-\d\d", {"search": True}, "ok"),
        ("<think>7</think>8", "7", {"search": True}, "wrong"),
        ("YES", "yes", {}, "wrong"),
        ("YES", "yes", {"ignore_case": True}, "ok"),
        ("x", None, {"pattern": "x"}, "ok"),
        ("x = 3, x = 4", 4, {"pattern": r"x = (?P<x>\d)", "group": "x", "search": True}, "ok"),
        ("x = 3, x = 4", 3, {"pattern": r"x = (?P<x>\d)", "group": "x", "search": True}, "wrong"),
        ("x = 4", ["3", "4"], {"pattern": r"x = (?P<x>\d)", "group": "x"}, "ok"),
        ("y", 3, {"pattern": r"x = (?P<x>\d)|y", "group": "x"}, "wrong"),
        ("", "x*", {}, "unparseable"),
        ("x", None, {}, "infra_error"),
        ("x", "", {}, "infra_error"),
        ("x", "(", {}, "infra_error"),
        ("x", ["x", "y"], {}, "infra_error"),
        ("x", "x" * 10_001, {}, "infra_error"),
        ("x", None, {"pattern": "(?P<x>x)", "group": "x"}, "infra_error"),
        ("x" * 1_000_001, "x+", {}, "limit"),
    ],
)
def test_the_answer_is_matched(text: str, answer: Any, params: dict[str, Any], status: str) -> None:
    assert judge(text, answer, **params).status == status


@pytest.mark.parametrize(
    "params",
    [{"pattern": "("}, {"pattern": "x", "group": "g"}, {"group": "g"}, {"seconds": 0}, {"seconds": 99}, {"pattern": 3}],
)
def test_parameters_that_cannot_be_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="regex"):
        make_verifier("regex", params)


@pytest.mark.parametrize("search", [False, True])
def test_catastrophic_matching_ends_at_its_deadline(search: bool) -> None:
    start = time.process_time()
    for pattern in (r"(a+)+b", r"(a|aa)+b", r"(.*)*\1\1b", r"(a?){40}a{40}b"):
        verdict = judge("a" * 100_000, pattern, search=search, seconds=0.1)
        assert verdict.status in ("timeout", "wrong")
    assert time.process_time() - start < 4


def test_looking_for_the_last_of_many_matches_has_a_deadline_too() -> None:
    start = time.process_time()
    params = {"pattern": r"(?P<x>a)(?=(a+)+$)?", "group": "x", "search": True, "seconds": 0.1}
    assert judge("a" * 100_000, "a", **params).status in ("ok", "timeout")
    assert time.process_time() - start < 4


@given(st.text(max_size=30), st.text(alphabet="ab()[]{}*+?.|^$\\<>=!P1,", max_size=12))
def test_no_text_and_no_pattern_makes_it_raise(text: str, pattern: str) -> None:
    status = judge(text, pattern, seconds=0.05, search=True).status
    assert status in ("ok", "wrong", "unparseable", "timeout", "infra_error")
