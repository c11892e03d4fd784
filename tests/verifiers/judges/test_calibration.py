"""A judge's scores turned into probabilities, with people's labels."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.judges.calibration import METHODS, Agreement, calibrate, measure, read_calibration

JUDGE = {"models": ["m"], "rubric": "r"}


def lenient(number: int = 400) -> tuple[list[float], list[bool]]:
    """Scores of a judge that gives 0.6 and more to nearly everything; people accept only what it gives 0.9."""
    random = np.random.default_rng(0)
    scores = np.round(random.uniform(0.5, 1.0, number), 2)
    labels = random.uniform(size=number) < np.where(scores > 0.85, 0.95, 0.05)
    return scores.tolist(), labels.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_lenient_judge_agrees_better_once_it_is_calibrated(method: str) -> None:
    scores, labels = lenient()
    found = calibrate(JUDGE, scores, labels, method)
    assert found.before is not None
    assert found.after is not None
    assert found.before.accuracy < 0.4
    assert found.before.kappa == pytest.approx(0, abs=0.02)
    assert found.after.accuracy > 0.88
    assert found.after.kappa > 0.7
    assert found.apply(0.6) < 0.2 < 0.8 < found.apply(0.95)
    curve = [found.apply(score) for score in np.linspace(-1, 2, 50)]
    assert curve == sorted(curve)
    assert 0 <= curve[0] <= curve[-1] <= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_stored_calibration_gives_the_same_probabilities(method: str, tmp_path: Path) -> None:
    found = calibrate(JUDGE, *lenient(60), method)
    found.write(tmp_path / "c.json")
    assert read_calibration(str(tmp_path / "c.json"), JUDGE) == found


def test_platts_targets_keep_few_labels_from_becoming_certain() -> None:
    found = calibrate(JUDGE, [0.0, 0.1, 0.9, 1.0], [False, False, True, True], "platt")
    assert 0.15 < found.apply(0.0) < 0.35
    assert 0.65 < found.apply(1.0) < 0.85


def test_agreement_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    said, right = random.integers(0, 2, 50), random.integers(0, 2, 50)
    found = measure(said, right)
    assert found.accuracy == pytest.approx(accuracy_score(right, said))
    assert found.kappa == pytest.approx(cohen_kappa_score(right, said))
    assert measure([1, 1], [1, 1]) == Agreement(1.0, 0.0)


@pytest.mark.parametrize(
    ("labels", "method", "message"),
    [
        ([True] * 4, "platt", r"2 refused replies or more, found \[4, 0\]"),
        ([True, True, True, False], "isotonic", r"found \[3, 1\]"),
        ([True, True, False, False], "beta", "isotonic or platt"),
    ],
)
def test_labels_that_cannot_calibrate_are_refused(labels: list[bool], method: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calibrate(JUDGE, [0.1, 0.2, 0.3, 0.4], labels, method)


@pytest.mark.parametrize("change", [{"points": []}, {"points": [[1]]}, {"method": 3, "slope": "x"}, {"more": 1}])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "c.json"
    calibrate(JUDGE, *lenient(60), "isotonic").write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match="is not a calibration"):
        read_calibration(str(path), JUDGE)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="is not a calibration"):
        read_calibration(str(path), JUDGE)


def test_the_calibration_of_another_judge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    calibrate(JUDGE, *lenient(60), "isotonic").write(path)
    with pytest.raises(ConfigError, match="made for a judge with another models, scale"):
        read_calibration(str(path), {"models": ["n"], "rubric": "r", "scale": [1, 2]})


def test_without_scikit_learn_the_cure_is_named_and_a_stored_calibration_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate(JUDGE, *lenient(60), "platt").write(tmp_path / "c.json")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert read_calibration(str(tmp_path / "c.json"), JUDGE).apply(1.0) > 0.5
    with pytest.raises(ConfigError, match=r"pip install -e '.\[calibration\]'"):
        calibrate(JUDGE, *lenient(60), "platt")
