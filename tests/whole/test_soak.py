"""A few runs of the soak, with few kills; ``make soak`` runs twenty with more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .soak import Runs, serve, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with closing(Runs(tmp_path_factory.mktemp("runs") / "log")) as runs:
        yield runs


@pytest.mark.parametrize("seed", range(3))
def test_a_trainer_that_notes_the_numbers_trains_every_acknowledged_group_once_whatever_is_killed(
    tmp_path: Path, seed: int
) -> None:
    found = serve(seed, tmp_path, kills=4)
    assert found.good, found


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_hosts_the_service_trains_every_acknowledged_group_once_whatever_is_killed(
    tmp_path: Path, runs: Runs, seed: int
) -> None:
    found = train(seed, tmp_path, 3, runs)
    assert found.good, found
