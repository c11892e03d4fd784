"""Verdicts: bad scores are refused where they are made, and the scores of turns add up as they say."""

import json
import math
from typing import Any

import pytest

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.verdict import Verdict, infra_error, passed, unparseable, wrong

NAN = float("nan")


@pytest.mark.parametrize(
    ("score", "status"),
    [
        (0.0, "infra_error"),
        (None, "ok"),
        (None, "timeout"),
        (NAN, "ok"),
        (math.inf, "wrong"),
        (True, "ok"),
        ("1", "ok"),
        (0.5, "timeout"),
        (1.0, "limit"),
        (1.0, "unparseable"),
        (1.0, "good"),
    ],
)
def test_a_verdict_refuses_a_score_that_its_status_cannot_have(score: Any, status: Any) -> None:
    with pytest.raises(DataError):
        Verdict(score, status)


@pytest.mark.parametrize("evidence", [{"found": {1, 2}}, {"found": NAN}, {"found": object()}])
def test_a_verdict_refuses_evidence_that_is_not_json(evidence: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="JSON"):
        Verdict(1.0, evidence=evidence)


def test_only_a_positive_ok_verdict_passed() -> None:
    verdicts = [passed(), passed(score=0.0), wrong("no"), wrong("half", score=0.5), unparseable("?"), infra_error("!")]
    assert [verdict.passed for verdict in verdicts] == [True, False, False, False, False, False]


def test_a_verdict_on_turns_combines_their_scores() -> None:
    steps = [0.5, 1.0, 0.0]
    totals = {total: Verdict.of_steps(steps, total).score for total in ("mean", "sum", "min", "max", "last")}  # type: ignore[arg-type]
    assert totals == {"mean": 0.5, "sum": 1.5, "min": 0.0, "max": 1.0, "last": 0.0}
    made = Verdict.of_steps(steps, reason="by turn")
    assert made.steps == (0.5, 1.0, 0.0)
    assert Verdict.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert Verdict.of_steps([], "last").score == 0.0


def test_invalid_scores_of_turns_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        Verdict(1.0, steps=(0.5, NAN))
    with pytest.raises(DataError, match="mean or sum"):
        Verdict.of_steps([1.0], "median")  # type: ignore[arg-type]
    with pytest.raises(DataError):
        Verdict(None, "infra_error", steps=(1.0,))
