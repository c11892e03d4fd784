"""The measure of similarity: exact for equal texts, near the Jaccard index for others, and total over all text."""

import random

import pytest

from lachesis.rollout.training_rows.similarity import similarity, sketch


def grams(text: str) -> set[str]:
    return {text[place : place + 5] for place in range(len(text) - 4)}


def test_the_estimate_is_near_the_share_of_common_ngrams() -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(60)]
    one = " ".join(words)
    for changed in (0, 1, 6, 20, 60):
        places = set(rng.sample(range(60), changed))
        other = " ".join(word[::-1] if number in places else word for number, word in enumerate(words))
        true = len(grams(one) & grams(other)) / len(grams(one) | grams(other))
        assert similarity(sketch(one), sketch(other)) == pytest.approx(true, abs=0.15)


def test_case_and_white_space_do_not_count_and_order_does() -> None:
    assert similarity(sketch("The  answer\n\tIS four."), sketch("the answer is four.")) == 1.0
    assert similarity(sketch("4"), sketch("5")) == 0.0
    assert similarity(sketch("12345678"), sketch("87654321")) < 0.1


@pytest.mark.parametrize("text", ["", " \n", "a", "\ud800", "\U0001f600" * 3, "两百字" * 30, "\0" * 9])
def test_every_text_has_a_sketch(text: str) -> None:
    assert similarity(sketch(text), sketch(text)) == 1.0
