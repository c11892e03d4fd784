"""Reports: what fails a check, percentiles, and that all of it is JSON."""

import json

import pytest

from lachesis.environments.audit.finding import MOST, Finding, Report, percentiles


def test_only_errors_fail_a_check() -> None:
    report = Report("x")
    report.add([Finding("leak", "some", "warning")])
    assert report.clean
    report.add([Finding("leak", "all")])
    assert not report.clean


def test_a_finding_is_kept_once_and_many_of_a_kind_are_counted() -> None:
    report = Report("x")
    for number in range(MOST + 3):
        report.add([Finding("gold", f"task {number}")])
    report.add([Finding("gold", "task 0"), Finding("leak", "one")])
    assert [finding.message for finding in report.findings] == [f"task {number}" for number in range(MOST)] + ["one"]
    assert report.to_json()["further"] == {"gold": 3}


def test_percentiles_are_by_nearest_rank_in_milliseconds() -> None:
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
    assert set(percentiles([0.25]).values()) == {250.0}


def test_a_report_is_json() -> None:
    report = Report("x", tasks={"train": 3}, players={"gold": (3, 3), "echo": (3, None)})
    report.add([Finding("gold", "no", tasks=("a", "b"), reply="ü")])
    report.time("run", 0.5)
    row = json.loads(json.dumps(report.to_json()))
    assert row["clean"] is False
    assert row["players"]["echo"] == {"plays": 3, "passed": None}
    assert row["milliseconds"]["run"]["p99"] == pytest.approx(500)
