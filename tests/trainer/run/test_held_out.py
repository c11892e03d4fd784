"""Which held-out metric counts: accuracy where success is defined, else the reward, or the one that is named."""

from typing import Any

import pytest

from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.held_out import HeldOut
from lachesis.verifiers.errors import ConfigError

DEFINED = {"heldout/reward": 0.6, "heldout/accuracy": 0.5, "heldout/score/exact": 0.4}
DENSE = {"heldout/reward": 0.6, "heldout/score/near": 0.4}


def held_out(**evaluation: Any) -> HeldOut:
    config = RunConfig.model_validate({"environments": [{"use": "arithmetic"}], "eval": {"tasks": 1, **evaluation}})
    return HeldOut(config.build_environments(), config)


@pytest.mark.parametrize(
    ("metric", "metrics", "value"),
    [
        ("auto", DEFINED, 0.5),
        ("auto", DENSE, 0.6),
        ("accuracy", DEFINED, 0.5),
        ("reward", DEFINED, 0.6),
        ("score/exact", DEFINED, 0.4),
    ],
)
def test_the_metric_that_counts(metric: str, metrics: dict[str, float], value: float) -> None:
    assert held_out(metric=metric).chosen(metrics) == value


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("accuracy", "no environment says what a success is|Rubric"),
        ("score/nera", "did you mean 'score/near'"),
    ],
)
def test_a_metric_that_does_not_exist_is_an_error_with_its_cure(metric: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        held_out(metric=metric).chosen(DENSE)
