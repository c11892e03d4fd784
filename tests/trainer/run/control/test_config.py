"""Declared bounds replace the usual ones, and name settings that can be changed."""

from typing import Any

import pytest

from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.control.config import STEERABLE
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.settings import validated


def config(**bounds: Any) -> RunConfig:
    names = {name.replace("__", "."): value for name, value in bounds.items()}
    return validated(RunConfig, {"environments": [{"use": "arithmetic"}], "control": {"bounds": names}}, "run.toml")


def test_declared_bounds_replace_those_that_follow_from_the_config() -> None:
    made = config(trainer__lr=[1e-7, 1e-6])
    assert made.control.of("trainer.lr", made) == (1e-7, 1e-6)
    assert made.control.of("rollout.sampling.max_tokens", made) == (1, made.model.context - 1)
    assert config().control.of("trainer.lr", config()) == pytest.approx((1e-8, 1e-5))


def test_every_setting_lies_within_its_usual_bounds() -> None:
    made = config()
    for key, usual in STEERABLE.items():
        value: Any = made
        for part in key.split("."):
            value = getattr(value, part)
        least, most = usual(made)
        assert least <= value <= most, key


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"trainer__betas": [0, 1]}, "'trainer.betas' cannot be changed while a run trains"),
        ({"trainer__lrr": [0, 1]}, "did you mean 'trainer.lr'"),
        ({"trainer__lr": [1, 0]}, "the least and the greatest value, in this order"),
        ({"trainer__lr": [1]}, "control.bounds"),
        ({"trainer__lr": [0, float("nan")]}, "finite"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(**bounds)
