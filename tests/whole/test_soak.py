"""A few runs of both soaks, with few kills and faults; ``make soak`` makes many more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .soak import Runs, serve, train
from .soak_faults import Result, inline, undisturbed


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


STEPS = 12


@pytest.fixture(scope="module")
def expected(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return undisturbed(tmp_path_factory.mktemp("whole"), runs, STEPS)


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 7])
def test_a_run_that_is_killed_and_whose_files_are_damaged_ends_as_an_undisturbed_one(
    tmp_path: Path, runs: Runs, expected: Result, seed: int
) -> None:
    report = inline(seed, tmp_path, runs, expected, number=1, steps=STEPS)
    assert report.wrong == ""
    assert len(report.faults) == 1
