"""The plays of an audit and the findings that follow: how many bad replies may pass, and what counts as flat."""

from collections.abc import Sequence

import pytest

from lachesis.environments.audit.finding import Report
from lachesis.environments.audit.tally import Tally
from lachesis.verifiers.task import Task

TASKS = [Task(f"q{number}", id=f"t{number}") for number in range(8)]


def severities(tally: Tally, flat: Sequence[Task | None] = ()) -> dict[str, str]:
    report = Report("mine")
    tally.conclude(report, flat)
    return {finding.kind: finding.severity for finding in report.findings}


def passing(kind: str, times: int, of: int = 8) -> Tally:
    tally = Tally()
    tally.played[kind] = of
    tally.passing[kind] = [(task, ("hi",)) for task in TASKS[:times]]
    return tally


@pytest.mark.parametrize(
    ("kind", "times", "found"),
    [
        ("echo", 0, {}),
        ("echo", 2, {"echo": "warning"}),
        ("echo", 3, {"echo": "error"}),
        ("empty", 1, {"empty": "error"}),
        ("random", 4, {}),
        ("random", 5, {"guessable": "warning"}),
    ],
)
def test_a_quarter_of_doubtful_replies_may_pass_and_none_that_is_surely_bad(
    kind: str, times: int, found: dict[str, str]
) -> None:
    assert severities(passing(kind, times)) == found


@pytest.mark.parametrize(
    ("flat", "found"),
    [([None, None], {}), ([TASKS[0], None], {"zero_variance": "warning"}), (TASKS[:2], {"zero_variance": "error"})],
)
def test_tasks_on_which_all_players_earn_the_same_are_an_error_if_there_are_no_others(
    flat: Sequence[Task | None], found: dict[str, str]
) -> None:
    assert severities(Tally(), flat) == found
