"""The figures that compare scores with people's labels."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from lachesis.verifiers.judges.reliability import Bin, auc, calibration_error, reliability


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_area_under_the_curve_is_that_of_scikit_learn_with_ties_too(digits: int) -> None:
    random = np.random.default_rng(digits)
    labels = random.uniform(size=80) < 0.4
    scores = np.round(random.normal(size=80) + labels, digits)
    assert auc(scores.tolist(), labels.tolist()) == pytest.approx(roc_auc_score(labels, scores))
    assert auc([0.0, 1.0], [False, True]) == 1.0
    assert auc([1.0, 1.0], [False, True]) == 0.5


def test_the_bins_are_those_of_scikit_learn_and_hold_every_reply() -> None:
    random = np.random.default_rng(0)
    probabilities = random.uniform(size=200) ** 2
    labels = random.uniform(size=200) < probabilities
    bins = reliability(probabilities.tolist(), labels.tolist())
    accepted, predicted = calibration_curve(labels, probabilities, n_bins=10)
    assert [each.accepted for each in bins] == pytest.approx(list(accepted))
    assert [each.predicted for each in bins] == pytest.approx(list(predicted))
    assert sum(each.replies for each in bins) == 200


def test_the_ends_belong_to_the_first_and_the_last_bin_and_empty_bins_are_left_out() -> None:
    bins = reliability([0.0, 1.0, 1.0], [False, True, False])
    assert bins == [Bin(0.0, 0.1, 1, 0.0, 0.0), Bin(0.9, 1.0, 2, 1.0, 0.5)]
    assert calibration_error(bins) == pytest.approx(1 / 3)
