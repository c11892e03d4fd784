"""The weighted sum of an agent's verdicts, with every component kept by name."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NamedTuple

from .errors import DataError
from .verdict import Verdict

ROUNDING = 1e-9
"""How far a total may lie below ``success_total``: weights such as 0.7, 0.2 and 0.1 do not sum to exactly 1."""


class Component(NamedTuple):
    """One labelled part of a reward."""

    label: str
    weight: float
    verdict: Verdict

    @property
    def counted(self) -> float | None:
        """The score as it counts; None if there is none.

        If the completion kept a penalty (a negative weight) from being judged, by its length or the time that it takes,
        the penalty counts in full: otherwise a reply would evade it by being too long.
        """
        evaded = self.weight < 0 and self.verdict.status in ("timeout", "limit")
        return 1.0 if evaded else self.verdict.score


@dataclass(frozen=True)
class Reward:
    """The reward of one agent for one trajectory, with all of its components.

    Attributes:
        components: label, weight and verdict of each component; labels are unique; a weight of 0 makes a metric.
        gate: the label of the gate that failed; then no other component counts. Empty if no gate failed.
        gated: the total if a gate failed.
        skipped: labels that were not judged because a gate failed; they have no score, which differs from a score of 0.
        clip: the bounds of the total, None for no bounds; ``gated`` is not clipped.
        success_label: the component that decides whether the attempt is a success; empty for the heaviest one.
        success_total: the least total that is a success; None to decide by component.
    """

    components: tuple[Component, ...] = ()
    gate: str = ""
    gated: float = 0.0
    skipped: tuple[str, ...] = ()
    clip: tuple[float, float] | None = None
    success_label: str = ""
    success_total: float | None = None

    def __post_init__(self) -> None:
        labels = [*(component.label for component in self.components), *self.skipped]
        if len(set(labels)) != len(labels):
            raise DataError(f"reward labels are unique, found {labels}; give one of them another label")
        for label, weight, _ in self.components:
            if not isinstance(label, str):
                raise DataError(f"a reward's label is text, found {label!r}")
            given: Any = weight
            if not isinstance(given, float | Real) or not math.isfinite(given):  # float first: it is asked faster
                raise DataError(f"the weight of reward {label!r} is a finite number, found {weight!r:.80}")
        if any(type(weight) is not float for _, weight, _ in self.components):  # NumPy floats are not JSON
            parts = tuple(part._replace(weight=float(part.weight)) for part in self.components)
            object.__setattr__(self, "components", parts)
        if self.gate and self.gate not in labels:
            raise DataError(f"the gate {self.gate!r} is none of the rewards {labels}; name one of them")
        if self.scored and not math.isfinite(self.total):
            raise DataError(f"the sum of the rewards {labels} is not finite; lower their scores or weights")

    @property
    def scored(self) -> bool:
        """Whether every component that counts has a score."""
        return not self.unjudged

    @property
    def unjudged(self) -> list[Component]:
        """The components that count but have no score (``infra_error``); after a failed gate, only the gate counts."""
        counting = [part for part in self.components if (part.label == self.gate if self.gate else part.weight)]
        return [part for part in counting if part.verdict.score is None]

    @property
    def total(self) -> float:
        """The clipped sum of weight times score; raises ``DataError`` if a component that counts has no score."""
        if self.unjudged:
            names = ", ".join(f"{label} ({verdict.reason})" for label, _, verdict in self.unjudged)
            raise DataError(
                f"the reward has no total, because an infrastructure error left some of it unscored: {names}"
            )
        if self.gate:
            return self.gated
        total = float(sum(part.weight * (part.counted or 0.0) for part in self.components))
        return total if self.clip is None else min(max(total, self.clip[0]), self.clip[1])

    @property
    def success(self) -> bool | None:
        """Whether the attempt is a success: the one definition that accuracy, success rates and curricula use.

        A failed gate is a failure. Otherwise the rubric's ``success`` decides: the named component has to pass, or the
        total has to reach the threshold. Without ``success``, the heaviest component has to pass (the first one if
        several are equal). None if the reward has no total, or if that component is a plain number without a pass mark.
        """
        if not self.components or not self.scored:
            return None
        if self.gate:
            return False
        if self.success_total is not None:
            return self.total >= self.success_total - ROUNDING
        decisive = self.decisive
        if decisive is None or decisive.verdict.score is None:
            return None
        return None if decisive.verdict.graded and not self.success_label else decisive.verdict.passed

    @property
    def decisive(self) -> Component | None:
        """The component that decides about success, if one does: the one with ``success_label``, or the heaviest."""
        if self.success_label:
            return next((part for part in self.components if part.label == self.success_label), None)
        counting = [part for part in self.components if part.weight > 0]
        return max(counting, key=lambda part: part.weight, default=None)

    def score(self, label: str) -> float | None:
        """The unweighted score of one component, None if it was not judged; ``KeyError`` if the label is unknown."""
        for part in self.components:
            if part.label == label:
                return part.verdict.score
        if label in self.skipped:
            return None
        raise KeyError(label)

    def extended(self, components: Iterable[Component]) -> "Reward":
        """This reward with more components."""
        more = tuple(components)
        return replace(self, components=(*self.components, *more)) if more else self

    def to_json(self) -> dict[str, Any]:
        """The reward as a JSON object."""
        parts = [{"label": label, "weight": weight, **verdict.to_json()} for label, weight, verdict in self.components]
        bounds = list(self.clip) if self.clip else None
        gate = {"gate": self.gate, "gated": self.gated, "skipped": list(self.skipped)}
        success = {"success_label": self.success_label, "success_total": self.success_total}
        return {"components": parts, **gate, "clip": bounds, **success}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Reward":
        """The reward that ``to_json`` wrote."""
        parts = tuple(Component(part["label"], part["weight"], Verdict.from_json(part)) for part in row["components"])
        clip = tuple(row["clip"]) if row["clip"] else None
        return cls(
            parts,
            row["gate"],
            row["gated"],
            tuple(row["skipped"]),
            clip,
            row["success_label"],
            row["success_total"],
        )


def success_rate(rewards: Iterable[Reward]) -> float | None:
    """Share of ``rewards`` that are a success; None if there is none, or success is undefined for one of them.

    Rewards that the named component does not judge (another agent's), or that an infrastructure error left without its
    score, are not counted.
    """
    found = [reward.success for reward in rewards if not _undecided(reward)]
    return None if not found or None in found else sum(map(bool, found)) / len(found)


def _undecided(reward: Reward) -> bool:
    if reward.gate or reward.success_total is not None or not reward.success_label:
        return False
    return reward.decisive is None or reward.decisive.verdict.score is None
