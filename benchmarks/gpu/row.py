"""One measured figure, what it is compared with, and the mark that it has to reach."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Mark:
    """A bound on a figure, or on its ratio to the figure beside it.

    Attributes:
        sign: whether the bound is the least or the most.
        bound: the value.
        of: what is compared with the bound.
        of_speed: whether the mark says how fast or how well the full size has to be, so that the small size, which runs
            the code and no more, is not judged by it.
    """

    sign: Literal["≥", "≤"]
    bound: float
    of: Literal["figure", "ratio"] = "figure"
    of_speed: bool = True

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}{' ×' if self.of == 'ratio' else ''}"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: the thing that was measured.
        figure: its value; None if it could not be measured.
        unit: of the figure.
        beside: what it is compared with, in the same unit and measured in the same run.
        against: says what that is.
        mark: the bound that the figure has to keep; None if there is none.
        problem: why there is no figure; such a row fails.
        details: further figures, for the file only.
    """

    what: str
    figure: float | None = None
    unit: str = ""
    beside: float | None = None
    against: str = ""
    mark: Mark | None = None
    problem: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of the one beside it."""
        return self.figure / self.beside if self.figure is not None and self.beside else None

    def passed(self, small: bool) -> bool | None:
        """Whether the mark is kept; None if there is none, or if it is not for the small size."""
        if self.problem:
            return False
        if self.mark is None or (small and self.mark.of_speed):
            return None
        value = self.ratio if self.mark.of == "ratio" else self.figure
        if value is None:
            return False
        return value >= self.mark.bound if self.mark.sign == "≥" else value <= self.mark.bound

    def to_json(self, small: bool) -> dict[str, Any]:
        """The row as it is written to the file."""
        mark = str(self.mark) if self.mark else None
        return {**asdict(self), "ratio": self.ratio, "mark": mark, "passed": self.passed(small)}


def failed(part: str, problem: str) -> Row:
    """The row of a part that ended before its time."""
    return Row(part, problem=problem)
