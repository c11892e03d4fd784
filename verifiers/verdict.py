"""A verdict: the judgement of one verifier on one trajectory."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .errors import DataError
from .rows.jsonl import check_json

Status = Literal["ok", "wrong", "unparseable", "timeout", "limit", "infra_error"]
STATUSES: frozenset[str] = frozenset(get_args(Status))
Total = Literal["mean", "sum", "min", "max", "last"]
TOTALS: dict[str, Callable[[tuple[float, ...]], float]] = {
    "mean": lambda steps: sum(steps) / len(steps),
    "sum": sum,
    "min": min,
    "max": max,
    "last": lambda steps: steps[-1],
}
"""How the scores of several turns become one score, by name."""
_ZERO = frozenset({"unparseable", "timeout", "limit"})


@dataclass(frozen=True)
class Verdict:
    """A judgement: a score, its status and its reasons.

    Attributes:
        score: a finite number; None exactly if ``status`` is ``infra_error``, because nothing was judged.
        status: ``ok``: judged and not below the pass mark; ``wrong``: judged and below the pass mark; ``unparseable``,
            ``timeout`` and ``limit``: the completion caused the failure, and the score is 0; ``infra_error``: Lachesis
            or the dataset caused the failure, and there is no score.
        reason: one line for people.
        evidence: JSON that explains the score; ``best`` is the highest possible score of a verifier whose scores are
            never above 0.
        elapsed: seconds.
        steps: the scores of the agent's turns, in order, if turns are scored one by one; ``score`` combines them.
        graded: whether the score is a plain number without a pass mark, so that it defines no success.
    """

    score: float | None
    status: Status = "ok"
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    elapsed: float = 0.0
    steps: tuple[float, ...] = ()
    graded: bool = False

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise DataError(f"a verdict's status is one of {sorted(STATUSES)}, found {self.status!r}")
        if not isinstance(self.reason, str):
            raise DataError(f"a verdict's reason is text, found {self.reason!r:.80}")
        if self.evidence:
            check_json(self.evidence, f"a verdict's evidence ({self.reason})")
        if self.steps != ():
            object.__setattr__(self, "steps", tuple(float(step) for step in self.steps))
            if not all(map(math.isfinite, self.steps)):
                raise DataError(f"the scores of a verdict's steps are finite, found {self.steps} ({self.reason})")
        if self.status == "infra_error":
            if self.score is not None or self.steps:
                raise DataError(
                    f"an infra_error has no score, found {self.score!r}: an infrastructure failure is never a reward"
                )
            return
        if isinstance(self.score, bool) or not isinstance(self.score, int | float) or not math.isfinite(self.score):
            raise DataError(
                f"a verdict's score is a finite number, found {self.score!r} ({self.status}: {self.reason})"
            )
        if self.status in _ZERO and self.score != 0:
            raise DataError(f"a verdict with status {self.status!r} scores 0, found {self.score!r}")

    @property
    def passed(self) -> bool:
        """Whether the status is ``ok`` and the score is positive, or the best that is possible."""
        if self.status != "ok" or self.score is None:
            return False
        return self.score > 0 or self.score == self.evidence.get("best")

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        row: dict[str, Any] = {"score": self.score, "status": self.status, "reason": self.reason}
        return row | {
            "evidence": self.evidence,
            "elapsed": self.elapsed,
            "steps": list(self.steps),
            "graded": self.graded,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Verdict":
        """The verdict that ``to_json`` wrote."""
        steps = tuple(row["steps"])
        return cls(row["score"], row["status"], row["reason"], row["evidence"], row["elapsed"], steps, row["graded"])

    @classmethod
    def of_steps(cls, steps: Iterable[float], total: Total = "mean", reason: str = "") -> "Verdict":
        """A verdict on each turn of the agent, in order; ``total`` combines their scores (0 without turns)."""
        scores = tuple(float(step) for step in steps)
        if total not in TOTALS:
            raise DataError(f"the score of steps is their {' or '.join(TOTALS)}, found {total!r}")
        return cls(float(TOTALS[total](scores)) if scores else 0.0, reason=reason, steps=scores, graded=True)


def passed(reason: str = "", score: float = 1.0, **evidence: Any) -> Verdict:
    """A verdict of status ``ok``."""
    return Verdict(score, "ok", reason, evidence)


def wrong(reason: str, score: float = 0.0, **evidence: Any) -> Verdict:
    """A verdict of status ``wrong``."""
    return Verdict(score, "wrong", reason, evidence)


def unparseable(reason: str, **evidence: Any) -> Verdict:
    """A verdict of status ``unparseable``: the completion contains no answer to judge."""
    return Verdict(0.0, "unparseable", reason, evidence)


def infra_error(reason: str, **evidence: Any) -> Verdict:
    """A verdict without a score: the checker itself failed."""
    return Verdict(None, "infra_error", reason, evidence)
