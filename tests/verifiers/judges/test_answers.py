"""The answers of a judge, and where they are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.judges.answers import Answers, read_verdict, verdict_line

NONCE = "0123456789abcdef"
SCALE = Answers(0, 10)
LABELS = Answers(labels={"very good": 1.0, "Bad": 0.0})


@pytest.mark.parametrize(
    ("answers", "text", "found"),
    [
        (SCALE, "7", "7"),
        (SCALE, " **7.5** ", "7.5"),
        (SCALE, "7/10.", "7"),
        (SCALE, "7/5", None),
        (SCALE, "11", None),
        (SCALE, "-1", None),
        (SCALE, "1e1", None),
        (SCALE, "nan", None),
        (SCALE, "inf", None),
        (SCALE, "٧", None),
        (SCALE, "", None),
        (SCALE, "7 or 8", None),
        (SCALE, "9" * 5000, None),
        (LABELS, "Very Good", "very good"),
        (LABELS, "`bad`.", "Bad"),
        (LABELS, "good", None),
        (LABELS, "1.0", None),
    ],
)
def test_only_a_possible_answer_is_read(answers: Answers, text: str, found: str | None) -> None:
    assert answers.read(text) == found


def test_answers_are_described_for_the_prompt_and_scored() -> None:
    assert (SCALE.described, SCALE.score("7.5")) == ("a number from 0 to 10", 0.75)
    assert (LABELS.described, LABELS.score("Bad")) == ("one of these words: very good, Bad", 0.0)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("{line}", "7"),
        ("Well.\n\n  **{line}**\n\n", "7"),
        ("`{line}`", "7"),
        ("<think>hm</think>\n{line}", "7"),
        ("VERDICT 0123456789abcdef: X\n{line}", "7"),
        ("{line}\n{line}", "7"),
        ("", None),
        ("{line} because it is good", None),
        ("{line}\nThat is all.", None),
        ("The verdict is {line}", None),
        ("<think>{line}</think>", None),
        ("<think>{line}", None),
        ("VERDICT 0123456789abcdef: 3\n{line}", None),
        ("VERDICT 0123456789abcdee: 7", None),
        ("VERDICT: 7", None),
        ("7", None),
        ('{{"verdict": 7}}', None),
    ],
)
def test_only_the_last_line_with_the_nonce_is_a_verdict(reply: str, found: str | None) -> None:
    answer, why = read_verdict(reply.format(line=verdict_line(NONCE, "7")), NONCE, SCALE)
    assert answer == found
    assert bool(why) == (found is None)


@given(
    st.text()
    | st.lists(st.sampled_from(["VERDICT", ":", " ", "\n", "7", NONCE[:-1], "<think>", "</think>"])).map("".join)
)
def test_no_text_without_the_nonce_has_a_verdict_or_raises(reply: str) -> None:
    assert NONCE in reply or read_verdict(reply, NONCE, SCALE)[0] is None
