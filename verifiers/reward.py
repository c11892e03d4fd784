"""The weighted sum of an agent's verdicts, with every component kept by name."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import DataError
from .verdict import Verdict


class Component(NamedTuple):
    """One labelled part of a reward."""

    label: str
    weight: float
    verdict: Verdict


@dataclass(frozen=True)
class Reward:
    """What one agent's trajectory earned, and from what.

    Attributes:
        components: label, weight and verdict of each part; labels are unique; a weight of 0 is a metric.
    """

    components: tuple[Component, ...] = ()

    def __post_init__(self) -> None:
        labels = [component.label for component in self.components]
        if len(set(labels)) != len(labels):
            raise DataError(f"reward labels are unique, found {labels}; give one of them another label")
        for label, weight, _ in self.components:
            if not math.isfinite(weight):
                raise DataError(f"the weight of reward {label!r} is finite, found {weight!r}")

    @property
    def scored(self) -> bool:
        """Whether every component that counts was judged."""
        return not self.unjudged

    @property
    def unjudged(self) -> list[Component]:
        """The components that count and met an infrastructure error."""
        return [part for part in self.components if part.weight and part.verdict.score is None]

    @property
    def total(self) -> float:
        """The sum of weight times score; refused when something that counts was not judged."""
        if self.unjudged:
            names = ", ".join(f"{label} ({verdict.reason})" for label, _, verdict in self.unjudged)
            raise DataError(f"there is no total: not judged because of an infrastructure error: {names}")
        return float(sum(weight * (verdict.score or 0.0) for _, weight, verdict in self.components))

    @property
    def passed(self) -> bool:
        """Whether the heaviest component (the first of them) passed: what accuracy counts."""
        heaviest = max(self.components, key=lambda part: part.weight, default=None)
        return heaviest is not None and heaviest.verdict.passed

    def score(self, label: str) -> float | None:
        """The unweighted score of one component, None where it was not judged."""
        for part in self.components:
            if part.label == label:
                return part.verdict.score
        raise KeyError(label)

    def extended(self, components: Iterable[Component]) -> "Reward":
        """This reward with more components."""
        return Reward((*self.components, *components))

    def to_json(self) -> list[dict[str, Any]]:
        """The components as JSON objects."""
        return [{"label": label, "weight": weight, **verdict.to_json()} for label, weight, verdict in self.components]

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> "Reward":
        """The reward that ``to_json`` wrote."""
        return cls(tuple(Component(row["label"], row["weight"], Verdict.from_json(row)) for row in rows))
