"""When an engine had requests: the busy time behind the timeline of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

Interval = tuple[float, float]
"""Begin and end, in seconds since 1970."""

GAP = 0.01
"""Shorter idle times, in seconds, are not told apart from work."""

MOST = 1_000
"""Most intervals that are kept until somebody takes them; with more, short idle times in between are forgotten."""


class Activity:
    """Counts the requests that run, and keeps the intervals in which there was at least one."""

    def __init__(self) -> None:
        self._running = 0
        self._since = 0.0
        self._busy: list[Interval] = []

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while the body runs."""
        if not self._running:
            self._since = time.time()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._add(self._since, time.time())

    def take(self) -> list[Interval]:
        """Return the intervals since the last call, in order; one that goes on is cut now."""
        now = time.time()
        if self._running:
            self._add(self._since, now)
            self._since = now
        taken, self._busy = self._busy, []
        return taken

    def _add(self, begin: float, end: float) -> None:
        if self._busy and (begin - self._busy[-1][1] < GAP or len(self._busy) >= MOST):
            begin = self._busy.pop()[0]
        self._busy.append((begin, max(begin, end)))


def rounded(intervals: list[Interval]) -> list[Interval]:
    """Return the intervals to a tenth of a millisecond, for a log."""
    return [(round(begin, 4), round(end, 4)) for begin, end in intervals]


def busy_share(intervals: list[Interval], windows: list[Interval]) -> float:
    """Return which share of ``windows`` lies in ``intervals``; 0 if the windows are empty."""
    overlap = sum(
        max(0.0, min(end, window_end) - max(begin, window_begin))
        for begin, end in intervals
        for window_begin, window_end in windows
    )
    return overlap / total if (total := sum(end - begin for begin, end in windows)) > 0 else 0.0
