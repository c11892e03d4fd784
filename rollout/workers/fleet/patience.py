"""Deadlines that follow from what was measured in this run, each with a floor and a ceiling."""

from collections import deque
from statistics import median


class Patience:
    """How long to wait for something of one kind: a multiple of the median of what it took so far.

    Args:
        floor: least seconds; what a short measurement cannot undercut.
        ceiling: most seconds; at least the floor.
        factor: times the median of the last ``KEPT`` measurements.
        first: seconds until something was measured; the ceiling if it is left out.
    """

    KEPT = 32

    def __init__(self, floor: float, ceiling: float, factor: float, first: float | None = None) -> None:
        self._floor, self._ceiling, self._factor = floor, max(floor, ceiling), factor
        self._first = self._ceiling if first is None else first
        self._measured: deque[float] = deque(maxlen=self.KEPT)

    def note(self, seconds: float) -> None:
        """Add a measurement."""
        self._measured.append(seconds)

    @property
    def seconds(self) -> float:
        """The deadline now."""
        if not self._measured:
            return self._first
        return min(max(self._floor, self._factor * median(self._measured)), self._ceiling)
