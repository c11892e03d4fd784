"""Preference losses against their formulas, and their derivatives against differences."""

import math

import pytest
import torch

from lachesis.trainer.losses.config import PreferenceConfig
from lachesis.trainer.losses.preference import PairTerms, Preference
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.settings import validated

CHOSEN, REJECTED, LENGTHS = [1.5, -2.0, 0.0], [-0.5, -1.0, 0.0], ([4.0, 2.0, 1.0], [2.0, 5.0, 1.0])


def terms(chosen: list[float], rejected: list[float]) -> PairTerms:
    return PairTerms(*(torch.tensor(values, dtype=torch.float64) for values in (chosen, rejected, *LENGTHS)))


def formula(config: PreferenceConfig, chosen: list[float], rejected: list[float]) -> float:
    losses = []
    for one, other, length, other_length in zip(chosen, rejected, *LENGTHS, strict=True):
        margin = one - other if config.loss == "sigmoid" else one / length - other / other_length
        right, wrong = (math.log1p(math.exp(-sign * config.beta * margin)) for sign in (1, -1))
        smoothed = (1 - config.label_smoothing) * right + config.label_smoothing * wrong
        losses.append((margin - 0.5 / config.beta) ** 2 if config.loss == "ipo" else smoothed)
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    "config",
    [
        PreferenceConfig(),
        PreferenceConfig(beta=0.7, label_smoothing=0.2),
        PreferenceConfig(loss="sigmoid_norm", beta=2.0, label_smoothing=0.1),
        PreferenceConfig(loss="ipo", beta=0.3),
    ],
    ids=lambda config: f"{config.loss}-{config.beta:g}",
)
def test_a_loss_and_its_derivatives_are_the_formula_s(config: PreferenceConfig) -> None:
    found = Preference.of(terms(CHOSEN, REJECTED), config)
    assert found.metrics["loss"] == pytest.approx(formula(config, CHOSEN, REJECTED), rel=1e-12)
    for side, slopes in enumerate((found.chosen_P, found.rejected_P)):
        for place, slope in enumerate(slopes.tolist()):
            values = []
            for change in (1e-5, -1e-5):
                moved = [list(CHOSEN), list(REJECTED)]
                moved[side][place] += change
                values.append(formula(config, *moved))
            assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-10)


def test_the_metrics_are_those_that_are_usual_for_dpo() -> None:
    metrics = Preference.of(terms(CHOSEN, REJECTED), PreferenceConfig(beta=0.5)).metrics
    assert metrics["rewards/chosen"] == pytest.approx(0.5 * sum(CHOSEN) / 3)
    assert metrics["rewards/rejected"] == pytest.approx(0.5 * sum(REJECTED) / 3)
    assert metrics["rewards/margins"] == pytest.approx(0.5 * (2.0 - 1.0) / 3)
    assert metrics["rewards/accuracies"] == pytest.approx(1 / 3)
    assert metrics["reference_kl"] == pytest.approx(-(sum(CHOSEN) + sum(REJECTED)) / 15)


def test_label_smoothing_that_a_loss_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss = 'ipo' has no label_smoothing"):
        validated(PreferenceConfig, {"loss": "ipo", "label_smoothing": 0.1}, "dpo")
