"""Several judges: one score, and how far they agree."""

import pytest

from lachesis.verifiers.judges.agreement import COMBINE, agreement, combined


@pytest.mark.parametrize(("how", "score"), list(zip(COMBINE, [0.5, 0.25, 0.25, 1.0], strict=True)))
def test_scores_are_combined(how: str, score: float) -> None:
    assert combined([0.25, 1.0, 0.25], how) == score


def test_a_tie_of_the_majority_goes_to_the_lower_score() -> None:
    assert combined([1.0, 0.0], "majority") == 0.0
    assert combined([1.0, 0.0, 0.0, 1.0, 0.5], "majority") == 0.0


def test_agreement_is_one_for_equal_and_nought_for_opposite_judges() -> None:
    assert agreement([0.5]) is None
    assert agreement([0.5, 0.5, 0.5]) == 1.0
    assert agreement([0.0, 1.0]) == 0.0
    assert agreement([-1.0, 1.0], span=2.0) == 0.0
    assert agreement([1.0, 1.0], span=0.0) == 1.0
