"""Replies that must not pass are never the right one in other words, as far as text can tell."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.audit.bad_reply import (
    Shown,
    answer_text,
    bad_replies,
    holds,
    random_reply,
    truncated,
    wrong_answers,
)
from lachesis.verifiers.task import Task


@pytest.mark.parametrize(
    ("answer", "wrongs"),
    [
        ("42", ["52", "427", "-42"]),
        ("-9", ["-8", "-97", "9"]),
        ("0", ["1", "07"]),
        ("0.35", ["0.45", "-0.35"]),
        ("0461", ["0561", "04617", "-0461"]),
        ("Paris", ["Qaris", "not Paris"]),
        ("z", ["a"]),
        ("B", ["C"]),
        ("x + 1", ["y + 1"]),
        ("{1, 2}", []),
    ],
)
def test_near_answers(answer: str, wrongs: list[str]) -> None:
    assert wrong_answers(answer) == wrongs


@given(st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(lambda n: f"{n:.3f}"))
def test_no_near_answer_of_a_number_is_equal_to_it(answer: str) -> None:
    wrongs = wrong_answers(answer)
    assert wrongs
    assert all(float(wrong) != float(answer) for wrong in wrongs if not (float(answer) == 0 and wrong.endswith("07")))


def test_no_reply_is_the_perfect_one() -> None:
    task = Task("What is 40 + 2?", answer="42")
    other = Task("What is 40 + 1?", answer="41")
    perfect = ("40 and 2 make \\boxed{42}",)
    replies = list(bad_replies(Shown(task, perfect), [Shown(task, perfect), Shown(other, ("\\boxed{41}",))]))
    assert {reply.kind for reply in replies} == {
        "empty",
        "echo",
        "in_think",
        "truncated",
        "shuffled",
        "mutated",
        "hedged",
    }
    assert all(reply.script != perfect for reply in replies)
    mutated = [reply.script[0] for reply in replies if reply.kind == "mutated"]
    assert mutated == ["40 and 2 make \\boxed{52}", "40 and 2 make \\boxed{427}", "40 and 2 make \\boxed{-42}"]
    hedges = [(*reply.script, *reply.swapped) for reply in replies if reply.kind == "hedged"]
    assert ("40 and 2 make \\boxed{42 or 52}", "40 and 2 make \\boxed{52 or 42}") in hedges


def test_an_answer_is_hidden_in_reasoning_without_the_demonstration_s_own_reasoning_which_would_end_it() -> None:
    said = Shown(Task("What is 40 + 2?", answer="42"), ("<think>40 and 2</think>42",))
    hidden = [reply.script for reply in bad_replies(said, []) if reply.kind == "in_think"]
    assert hidden == [("<think>\n42\n</think>",), ("<think>\n42",)]


def test_another_tasks_reply_with_the_same_answer_is_not_wrong() -> None:
    one, same = Task("1 + 1?", answer="2"), Task("3 - 1?", answer="2")
    replies = bad_replies(Shown(one, ("two: 2",)), [Shown(same, ("2",))])
    assert "shuffled" not in {reply.kind for reply in replies}


def test_half_of_a_reply_that_still_holds_the_answer_is_not_wrong() -> None:
    assert truncated("42, as 40 and 2 make it so", "42") == ""
    assert truncated("40 and 2 make 42", "42") == "40 and 2"
    assert truncated("7", "7") == ""


def test_an_answer_stands_as_a_word_of_its_own() -> None:
    assert holds("it is 42.", "42")
    assert not any(holds(text, "42") for text in ("142", "42.5", "1,42", "x42", "1.42"))


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=50))
def test_no_text_makes_it_raise(prompt: str, said: str, answer: str) -> None:
    shown = Shown(Task(prompt, answer=answer), (said,))
    for reply in bad_replies(shown, [Shown(Task(prompt + "!", answer=answer + "!"), (said + "!",))]):
        assert len(reply.script) == 1
    assert len(random_reply((said,), random.Random(0))[0]) == len(said)


def test_only_short_texts_and_numbers_are_answers_that_can_be_changed() -> None:
    assert [answer_text(answer) for answer in (7, "x ", 1.5, True, None, ["7"], "y" * 500)] == ["7", "x", "1.5"] + [
        ""
    ] * 4
