"""When an engine had requests, how many, and what it sampled: the busy time behind the timeline of a run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

Span = tuple[float, ...]
"""Begin and end, in seconds since 1970; more may follow."""

GAP = 0.01
"""Shorter idle times, in seconds, are not told apart from work."""

MOST = 1_000
"""Most intervals that are kept until somebody takes them; with more, short idle times in between are forgotten."""


class Interval(NamedTuple):
    """A time in which an engine had requests.

    Attributes:
        begin: seconds since 1970.
        end: likewise.
        tokens: how many tokens the requests had that ended since the last look; only in the last interval of a look.
        work: seconds times requests since the last look; likewise.
    """

    begin: float
    end: float
    tokens: int = 0
    work: float = 0.0


class Activity:
    """Counts the requests that run, and keeps the intervals in which there was at least one."""

    def __init__(self) -> None:
        self._running = 0
        self._since = self._counted = 0.0
        self._busy: list[Interval] = []
        self._tokens, self._work = 0, 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while the body runs."""
        self._count()
        if not self._running:
            self._since = time.time()
        self._running += 1
        try:
            yield
        finally:
            self._count()
            self._running -= 1
            if not self._running:
                self._add(self._since, time.time())

    def sampled(self, tokens: int) -> None:
        """Count the tokens of a request that ends."""
        self._tokens += tokens

    def take(self) -> list[Interval]:
        """Return the intervals since the last call, in order; one that goes on is cut now."""
        now = time.time()
        self._count()
        if self._running:
            self._add(self._since, now)
            self._since = now
        taken, self._busy = self._busy, []
        if taken:
            taken[-1] = taken[-1]._replace(tokens=self._tokens, work=self._work)
            self._tokens, self._work = 0, 0.0
        return taken

    def _count(self) -> None:
        now = time.time()
        self._work += self._running * (now - self._counted)
        self._counted = now

    def _add(self, begin: float, end: float) -> None:
        if self._busy and (begin - self._busy[-1].end < GAP or len(self._busy) >= MOST):
            begin = self._busy.pop().begin
        self._busy.append(Interval(begin, max(begin, end)))


def rounded(intervals: Sequence[Span]) -> list[tuple[float, float]]:
    """Return begin and end of the intervals to a tenth of a millisecond, for a log."""
    return [(round(one[0], 4), round(one[1], 4)) for one in intervals]


def busy_share(intervals: Sequence[Span], windows: Sequence[Span]) -> float:
    """Return which share of ``windows`` lies in ``intervals``; 0 if the windows are empty."""
    overlap = sum(max(0.0, min(one[1], window[1]) - max(one[0], window[0])) for one in intervals for window in windows)
    return overlap / total if (total := sum(window[1] - window[0] for window in windows)) > 0 else 0.0
