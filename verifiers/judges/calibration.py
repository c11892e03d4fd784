"""Calibration: a judge's scores turned into the probability that a person accepts the reply."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..files import replace_text

METHODS = ("isotonic", "platt")
FOLDS = 5
"""Parts of the labels for cross-validation: each part is scored by a calibration that was fitted to the others."""
LEAST = 2
"""Fewest labels of each kind."""


@dataclass(frozen=True)
class Agreement:
    """How well decisions agree with people's labels.

    Attributes:
        accuracy: share of equal decisions.
        kappa: Cohen's kappa, which corrects for chance; 0 if it is not defined.
    """

    accuracy: float
    kappa: float


@dataclass(frozen=True)
class Calibration:
    """A rising function from scores to probabilities, and how it was found.

    Attributes:
        judge: the settings of the judge that it holds for (``Judge.identity``).
        method: ``isotonic``, a step-wise linear function through ``points``, or ``platt``, a logistic one.
        points: (score, probability), by rising score.
        slope, intercept: of the logistic function.
        labels: how many labels it was fitted to.
        before: the agreement of uncalibrated scores with the labels.
        after: the agreement of calibrated scores at 0.5, in cross-validation.
    """

    judge: dict[str, Any]
    method: str
    points: tuple[tuple[float, float], ...] = ()
    slope: float = 0.0
    intercept: float = 0.0
    labels: int = 0
    before: Agreement | None = None
    after: Agreement | None = None

    def apply(self, score: float) -> float:
        """The probability for ``score``; beyond the points, that of the nearest one."""
        if self.method == "isotonic":
            scores, probabilities = np.asarray(self.points).T
            return float(np.interp(score, scores, probabilities))
        exponent = min(700.0, max(-700.0, -(self.slope * score + self.intercept)))
        return 1 / (1 + math.exp(exponent))

    def write(self, path: str | Path) -> None:
        """Write it as JSON. Raises ``ConfigError`` if the file cannot be written."""
        try:
            replace_text(Path(path), json.dumps(asdict(self), indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}; choose another file") from None


def calibrate(
    judge: Mapping[str, Any], scores: Sequence[float], labels: Sequence[bool], method: str, threshold: float = 0.5
) -> Calibration:
    """Fit a calibration to people's labels.

    Args:
        judge: ``Judge.identity`` of the judge that gave the scores.
        scores: one for each reply.
        labels: whether a person accepts the reply.
        method: ``isotonic``, for some hundred labels and more, or ``platt``, for fewer.
        threshold: the score from which the uncalibrated judge accepts.

    Raises:
        ConfigError: the labels are too few or all alike, or scikit-learn is missing.
    """
    if method not in METHODS:
        raise ConfigError(f"a calibration's method is {' or '.join(METHODS)}, found {method!r}")
    if find_spec("sklearn") is None:
        raise ConfigError("calibration needs scikit-learn: pip install -e '.[calibration]'")
    kinds = [sum(labels), len(labels) - sum(labels)]
    if min(kinds) < LEAST:
        raise ConfigError(f"calibration needs {LEAST} accepted and {LEAST} refused replies or more, found {kinds}")
    x, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=int)
    fitted = _fit(dict(judge), x, y, method)
    after = measure(np.asarray(held_out(scores, labels, method)) >= 0.5, y)
    found = asdict(fitted) | {"labels": len(y), "before": measure(x >= threshold, y), "after": after}
    return Calibration(**found)


def measure(decisions: Any, labels: Any) -> Agreement:
    """The agreement of decisions with labels, both of shape (n,)."""
    said, right = np.asarray(decisions, dtype=bool), np.asarray(labels, dtype=bool)
    accuracy = float((said == right).mean())
    chance = float(said.mean() * right.mean() + (1 - said.mean()) * (1 - right.mean()))
    return Agreement(accuracy, (accuracy - chance) / (1 - chance) if chance < 1 else 0.0)


def read_calibration(path: str, judge: Mapping[str, Any]) -> Calibration:
    """Read the file of a calibration.

    Args:
        path: of the JSON file.
        judge: ``Judge.identity`` of the judge that will use it.

    Raises:
        ConfigError: there is no such file, it is something else, or it was made for another judge.
    """
    try:
        row = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        row["points"] = tuple((float(score), float(probability)) for score, probability in row["points"])
        for name in ("before", "after"):
            row[name] = Agreement(**row[name]) if row[name] else None
        found = Calibration(**row)
        found.apply(0.0)
    except OSError as error:
        raise ConfigError(f"cannot read the calibration {path}: {error.strerror}; calibrate_on makes one") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path} is not a calibration ({error!r:.100}); calibrate_on makes one") from None
    different = sorted(key for key in {*judge, *found.judge} if judge.get(key) != found.judge.get(key))
    if different:
        raise ConfigError(f"{path} was made for a judge with another {', '.join(different)}; calibrate this one")
    return found


def _fit(judge: dict[str, Any], x: Any, y: Any, method: str) -> Calibration:
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y)
        points = zip(model.X_thresholds_.tolist(), model.y_thresholds_.tolist(), strict=True)
        return Calibration(judge, method, points=tuple(points))
    from sklearn.linear_model import LogisticRegression

    # Platt's targets, which keep the probabilities away from 0 and 1, as weights of both labels of every reply
    accepted, refused = int(y.sum()), int((1 - y).sum())
    high, low = (accepted + 1) / (accepted + 2), 1 / (refused + 2)
    target = np.where(y == 1, high, low)
    model = LogisticRegression(C=1e6, max_iter=1000)
    both, kinds = np.concatenate([x, x])[:, None], np.concatenate([np.ones_like(y), np.zeros_like(y)])
    model.fit(both, kinds, sample_weight=np.concatenate([target, 1 - target]))
    return Calibration(judge, method, slope=float(model.coef_[0, 0]), intercept=float(model.intercept_[0]))


def held_out(scores: Sequence[float], labels: Sequence[bool], method: str) -> list[float]:
    """The probability of each reply by a calibration that did not see its label (cross-validation).

    The arguments are those of ``calibrate``, which has checked them.
    """
    from sklearn.model_selection import StratifiedKFold

    x, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=int)
    folds = min(FOLDS, int(y.sum()), int((1 - y).sum()))
    found = np.zeros(len(y))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(x[:, None], y):
        fitted = _fit({}, x[train], y[train], method)
        found[test] = [fitted.apply(score) for score in x[test]]
    return [float(probability) for probability in found]
