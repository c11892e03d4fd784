"""Programs that want the reward without the work: each of them earns nothing."""

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from .cheats import CHEATS, HONEST, ROW


def score(trajectory: Any) -> float:
    reward = trajectory.rewards["policy"]
    assert reward.scored, trajectory.error or reward.components
    return float(reward.total)


def test_honest_work_earns_everything(attempt: Callable[..., Any]) -> None:
    assert score(attempt(HONEST, ROW)) == 1.0


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_program_earns_nothing_if(cheat: str, attempt: Callable[..., Any]) -> None:
    assert score(attempt(textwrap.dedent(CHEATS[cheat]), ROW, seconds=5.0, disk=8, processes=32)) == 0.0
