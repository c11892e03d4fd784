"""The final answer of a reply: the last tag, else the last box."""

import pytest

from lachesis.verifiers.text.final_answer import final_answer, last_tagged


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<answer>4</answer>", "4"),
        ("<answer> 4\n</answer> I think", "4"),
        ("<answer>3</answer> or <answer>4</answer>", "4"),
        (r"<answer>\boxed{4}</answer>", "4"),
        (r"\boxed{3} and \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{3}, so <answer>4</answer>", "4"),
        ("<answer>3</answer><answer>4", "3"),
        ("<answer>3</answer>4</answer>", "3"),
        ("<answer>1<answer>4</answer>", "4"),
        ("<answer></answer>", None),
        ("4", None),
        ("", None),
    ],
)
def test_the_last_answer_is_found(text: str, found: str | None) -> None:
    assert final_answer(text) == found


def test_many_tags_are_read_in_linear_time() -> None:
    assert last_tagged("</answer>" * 200_000) is None
    assert last_tagged("<answer>" * 200_000) is None


def test_any_tag_can_be_read_and_only_as_it_is_spelled() -> None:
    text = "<move>a1</move> no, <move> b2 </move> <Move>c3</Move> <move x=1>d4</move>"
    assert last_tagged(text, "move") == "b2"
    assert last_tagged(text) is None
    assert last_tagged("<a.*>1</a.*>", "a.*") == "1"
