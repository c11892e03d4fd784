"""The time that a run has taken, in all and by phase, over all of its sittings."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .state import RunState

PHASES = ("generation", "scoring", "update", "weight_sync", "evaluation", "warm_start")


class Clock:
    """Measures this sitting and adds what earlier ones took.

    Args:
        before: the state that the run goes on from.

    Attributes:
        phases: seconds by phase.
    """

    def __init__(self, before: RunState) -> None:
        self._before = before.seconds
        self._started = time.perf_counter()
        self.phases = {phase: before.phases.get(phase, 0.0) for phase in PHASES}

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all sittings."""
        return self._before + time.perf_counter() - self._started

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the body as phase ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] += time.perf_counter() - start

    def waited(self, seconds: float, scoring: float) -> None:
        """Count a wait for groups, ``scoring`` seconds of which their verifiers took."""
        self.phases["generation"] += max(0.0, seconds - scoring)
        self.phases["scoring"] += scoring
