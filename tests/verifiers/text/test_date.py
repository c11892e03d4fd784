"""Dates: the ways of writing one, those that do not exist, and those that could be two."""

import asyncio
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.date import read_dates
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(text: str, answer: Any = "2024-03-05", **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier("date", params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize(
    "text",
    [
        *("2024-03-05", "2024/3/5", "It was 5 March 2024.", "5th of March, 2024", "March 5th, 2024", "MAR 5 2024"),
        *("05.03.2024", "5. March 2024", "**2024-03-05**", "1 May 2020, no: 5 March 2024", "(Mar. 5, 2024)"),
    ],
)
def test_a_date_is_read_as_people_write_it(text: str) -> None:
    assert judge(text).passed


@pytest.mark.parametrize(
    ("text", "status"),
    [
        *(
            (text, "wrong")
            for text in ("2024-03-06", "5 March 2023", "5 May 2024", "03.05.2024", "5 March 2024, or 2020-01-01")
        ),
        *(
            (text, "unparseable")
            for text in ("", "March 2024", "the fifth", "2024-02-30", "3/5/2024", "03-05-2024", "20240305")
        ),
        *(
            (text, "unparseable")
            for text in ("12024-03-05", "2024-03-051", "<think>2024-03-05</think>", "２０２４-03-05")
        ),
    ],
)
def test_another_date_is_wrong_and_what_is_no_date_is_not_read(text: str, status: str) -> None:
    assert judge(text).status == status


def test_numbers_with_slashes_are_read_in_the_order_that_is_given() -> None:
    assert judge("3/5/2024", order="month_first").passed
    assert judge("5/3/2024", order="day_first").passed
    assert judge("5/3/2024", order="month_first").status == "wrong"
    assert judge("13/3/2024", "2024-03-13").passed
    assert judge("3/13/2024", "2024-03-13", order="day_first").passed
    assert judge("4/4/2024", "2024-04-04").passed


@given(st.dates(min_value=datetime.date(1000, 1, 1)))
def test_every_date_is_read_in_every_form(date: datetime.date) -> None:
    for form in ("%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d %b %Y", "%d.%m.%Y"):
        assert read_dates(date.strftime(form)) == [date], form


@given(st.text("0123456789-/. marchofth", max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    assert judge(text).status in ("ok", "wrong", "unparseable")


def test_what_cannot_be_is_refused() -> None:
    for answer in (None, "soon", "2024-02-30", "2024-01-01 or 2024-01-02"):
        assert judge("2024-01-01", answer).status == "infra_error"
    with pytest.raises(ConfigError, match="'day_first'"):
        make_verifier("date", {"order": "dayfirst"})
