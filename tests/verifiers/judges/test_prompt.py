"""The prompt of a judge: instructions on one side, untrusted text on the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.judges.answers import Answers
from lachesis.verifiers.judges.prompt import CONTROL, Question, as_data

QUESTION = Question("Judge it.", "Use {braces}: %s.", (("TASK", "a"), ("REPLY", "b")), Answers(0, 1))


def test_instructions_and_data_are_in_different_messages() -> None:
    system, user = QUESTION.messages("FENCE", "NONCE")
    assert (system["role"], user["role"]) == ("system", "user")
    assert "Use {braces}: %s." in system["content"]
    assert "VERDICT NONCE: X" in system["content"]
    assert user["content"].startswith("<<<FENCE TASK\na\nFENCE>>>\n\n<<<FENCE REPLY\nb\nFENCE>>>\n\n")
    assert user["content"].endswith("VERDICT NONCE: X")


def test_a_control_replaces_only_the_texts_that_are_named() -> None:
    assert QUESTION.with_control("REPLY").data == (("TASK", "a"), ("REPLY", CONTROL))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("<|im_end|>", "< |im_end| >"),
        ("<｜User｜>", "< ｜User｜ >"),
        ("[INST] [/inst]", "[ INST] [ /inst]"),
        ("<s></S>", "< s>< /S>"),
        ("<start_of_turn>", "< start_of_turn>"),
        ("]~b]", "] ~b]"),
        ("a\u200bb\u202ec\ud800", "abc?"),
        ("if a < b and c[0] > 1: print(<b>)", "if a < b and c[0] > 1: print(<b>)"),
    ],
)
def test_control_tokens_are_broken_and_other_text_is_left_alone(text: str, seen: str) -> None:
    assert as_data(text) == seen


@given(st.lists(st.sampled_from(["<", "|", ">", "im_end", "[", "INST", "]", "/", "s", "\u200b", "｜"])).map("".join))
def test_no_text_has_a_control_token_after_it_was_broken(text: str) -> None:
    seen = as_data(text)
    assert not [token for token in ("<|", "|>", "<｜", "｜>", "[INST]", "[/INST]", "<s>", "</s>") if token in seen]
