"""Which estimators a step in parts can have, and which normalizations a run."""

from pathlib import Path

import pytest

from lachesis.trainer.advantages.estimator import ESTIMATORS
from lachesis.trainer.config import RunConfig, TrainerConfig
from lachesis.trainer.config_checks import check_parts
from lachesis.verifiers.errors import ConfigError

OWN = """
from lachesis.trainer.advantages.earned import by_group

@by_group
def alone(rewards_G):
    return rewards_G - rewards_G.mean()

def together(batch):
    return [earned.totals_G for earned in batch]
"""


@pytest.mark.parametrize("name", [*ESTIMATORS.names, "own_estimators:alone", "own_estimators:together"])
def test_a_step_in_parts_refuses_an_advantage_that_needs_all_of_its_groups(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_estimators.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    check_parts(TrainerConfig(advantage=name))
    if name in ("reinforce_pp", "reinforce_pp_baseline", "gdpo", "own_estimators:together"):
        with pytest.raises(ConfigError, match=rf"parts = 2 needs .*@by_group.*advantage = '{name}' takes all"):
            check_parts(TrainerConfig(advantage=name, parts=2))
    else:
        check_parts(TrainerConfig(advantage=name, parts=2))


NORMALIZATIONS = """
import numpy as np
from lachesis.trainer.losses.normalization import Weights

def right(lengths, longest):
    return Weights(np.ones(len(lengths)), float(len(lengths)))

def weights_alone(lengths, longest):
    return np.ones(len(lengths)) / sum(lengths)

def of_the_step(lengths, longest):
    return Weights(np.ones(1), 1.0)

def undivided(lengths, longest):
    return Weights(np.ones(len(lengths)), 0.0)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("token", None),
        ("right", None),
        ("weights_alone", r"must return Weights\(weights_S, divisor\), found ndarray"),
        ("of_the_step", "a weight for each of 2 sequences .* found 1 weights and 1.0"),
        ("undivided", "a divisor above 0, found 2 weights and 0.0"),
    ],
)
def test_a_normalization_that_does_not_return_weights_is_refused_before_the_run(
    name: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_normalizations.py").write_text(NORMALIZATIONS)
    monkeypatch.syspath_prepend(tmp_path)
    loss = {"normalize": name if name == "token" else f"own_normalizations:{name}"}
    config = RunConfig.model_validate({"environments": [{"use": "arithmetic"}], "trainer": {"loss": loss}})
    if message is None:
        config.check_own()
    else:
        with pytest.raises(ConfigError, match=message):
            config.check_own()
