"""Which estimators a step in parts can have."""

from pathlib import Path

import pytest

from lachesis.trainer.advantages.estimator import ESTIMATORS
from lachesis.trainer.config import TrainerConfig
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
